with prices as (
    select * from {{ source('accounts', 'prices') }}
)

select
    -- key
    price_id,
    price_factor_ppm,
    tier_from::hugeint as tier_from,
    tier_to::hugeint as tier_to,

    -- what it applies to
    owner_id,
    zone,
    currency,
    slug,
    basis::varchar as basis,
    epoch_us(valid_from) as valid_from_us,
    -- No end: later than any month.
    coalesce(epoch_us(valid_to), 9223372036854775807) as valid_to_us,

    -- how it counts
    tier_mode::varchar as tier_mode,
    per_quantity,
    per_seconds,
    block_quantity,
    block_seconds,
    granularity_seconds * 1000000 as granularity_us,
    minimum_seconds * 1000000 as minimum_us,

    -- numerators at scale 26, price factor included
    unit_price_e26::hugeint as unit_price_e26,
    tier_price_e26::hugeint as tier_price_e26
from prices
