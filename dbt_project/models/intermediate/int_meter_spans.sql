with meters as (
    select * from {{ ref('int_meters') }}
),

price_spans as (
    select * from {{ ref('int_price_spans') }}
)

select
    -- key
    meters.basis,
    meters.meter_id,
    price_spans.span_number,

    -- when
    price_spans.from_us,
    price_spans.to_us,
    count(*) over (partition by meters.price_key_id, meters.meter_id) = 1 as is_whole_month,

    -- the line it adds to
    price_spans.payer_id,
    meters.owner_id,
    meters.resource_id,
    meters.resource_name,
    meters.slug,
    meters.zone,
    price_spans.price_id,
    price_spans.price_factor_ppm,
    price_spans.tariff_id,

    -- or why there is none
    price_spans.reason,
    price_spans.detail
from meters
inner join price_spans
    on meters.price_key_id = price_spans.price_key_id
