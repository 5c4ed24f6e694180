with refused_prices as (
    select * from {{ source('accounts', 'refused_prices') }}
)

select
    price_id,
    owner_id,
    zone,
    currency,
    slug,
    basis,
    reason,
    epoch_us(valid_from) as valid_from_us,
    -- No end: later than any month.
    coalesce(epoch_us(valid_to), 9223372036854775807) as valid_to_us
from refused_prices
