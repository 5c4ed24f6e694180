with runtime_usage as (
    select * from {{ ref('int_runtime_usage') }}
),

unusable_usage as (
    select * from {{ ref('int_unusable_usage') }}
),

granulated_usage as (
    select * from {{ ref('int_granulated_usage') }}
),

stored_usage as (
    select * from {{ ref('int_stored_usage') }}
),

moved_usage as (
    select * from {{ ref('int_moved_usage') }}
),

units_usage as (
    select * from {{ ref('int_units_usage') }}
),

meter_spans as (
    select * from {{ ref('int_meter_spans') }}
),

metered as (
    select
        'runtime' as basis,
        meter_id,
        span_number,
        duration_us
    from runtime_usage
    union all by name
    select
        'runtime' as basis,
        meter_id,
        span_number,
        stopped_us - started_us as unusable_us
    from unusable_usage
    union all by name
    select
        'runtime' as basis,
        meter_id,
        span_number,
        granulated_us
    from granulated_usage
    union all by name
    select
        'stored' as basis,
        meter_id,
        span_number,
        tier_from,
        duration_us,
        part_byte_us,
        block_us
    from stored_usage
    union all by name
    select
        'moved' as basis,
        meter_id,
        span_number,
        moved_bytes
    from moved_usage
    union all by name
    select
        'units' as basis,
        meter_id,
        span_number,
        units_max,
        units_max_us
    from units_usage
),

summed as (
    select
        meter_spans.payer_id,
        meter_spans.owner_id,
        meter_spans.resource_id,
        max(meter_spans.resource_name) as resource_name,
        meter_spans.slug,
        meter_spans.zone,
        meter_spans.price_id,
        meter_spans.price_factor_ppm,
        meter_spans.basis,
        metered.tier_from,
        sum(metered.duration_us) as duration_us,
        sum(metered.unusable_us) as unusable_us,
        sum(metered.granulated_us) as granulated_us,
        sum(metered.part_byte_us) as part_byte_us,
        sum(metered.block_us) as block_us,
        sum(metered.moved_bytes) as moved_bytes,
        max(metered.units_max) as units_max,
        max(metered.units_max_us) as units_max_us
    from metered
    inner join meter_spans
        on
            metered.basis = meter_spans.basis
            and metered.meter_id = meter_spans.meter_id
            and metered.span_number = meter_spans.span_number
    where meter_spans.reason is null
    group by
        meter_spans.payer_id,
        meter_spans.owner_id,
        meter_spans.resource_id,
        meter_spans.slug,
        meter_spans.zone,
        meter_spans.price_id,
        meter_spans.price_factor_ppm,
        meter_spans.basis,
        metered.tier_from
)

select
    -- line key
    payer_id,
    owner_id,
    resource_id,
    resource_name,
    slug,
    zone,
    price_id,
    price_factor_ppm,
    basis,
    tier_from::decimal(38, 0) as tier_from,

    -- whole numbers, as the basis knows them
    case basis when 'runtime' then coalesce(duration_us, 0) else duration_us end::decimal(38, 0) as duration_us,
    case basis when 'runtime' then coalesce(unusable_us, 0) end::decimal(38, 0) as unusable_us,
    granulated_us::decimal(38, 0) as granulated_us,
    part_byte_us::decimal(38, 0) as part_byte_us,
    block_us::decimal(38, 0) as block_us,
    moved_bytes::decimal(38, 0) as moved_bytes,
    units_max::decimal(38, 0) as units_max,
    make_timestamptz(units_max_us) as units_max_at
from summed
