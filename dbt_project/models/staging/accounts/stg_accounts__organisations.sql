with organisations as (
    select * from {{ source('accounts', 'organisations') }}
)

select
    owner_id,
    payer_id,
    currency,
    price_factor_ppm,
    epoch_us(valid_from) as valid_from_us,
    epoch_us(valid_to) as valid_to_us,
    -- Not closed: later than any month.
    coalesce(epoch_us(closes_at), 9223372036854775807) as closes_us
from organisations
