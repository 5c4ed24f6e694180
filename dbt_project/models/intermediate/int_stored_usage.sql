with stored_values as (
    select * from {{ ref('int_stored_values') }}
),

meter_spans as (
    select * from {{ ref('int_meter_spans') }}
    where basis = 'stored'
),

price_tiers as (
    select * from {{ ref('stg_accounts__price_tiers') }}
),

-- A span without a price has no tiers: its usage stays in one row, to be reported.
tiered_spans as (
    select
        meter_spans.meter_id,
        meter_spans.span_number,
        meter_spans.from_us,
        meter_spans.to_us,
        price_tiers.tier_from,
        price_tiers.tier_to,
        price_tiers.block_quantity,
        coalesce(price_tiers.tier_mode = 'graduated', false) as is_graduated,
        row_number() over (
            order by meter_spans.meter_id, meter_spans.span_number, price_tiers.tier_from
        ) as tiered_span_id
    from meter_spans
    left join price_tiers
        on
            meter_spans.price_id = price_tiers.price_id
            and meter_spans.price_factor_ppm = price_tiers.price_factor_ppm
            and meter_spans.reason is null
),

-- Each sampled size finds its tier: the one it lies in, or, where graduated, every tier that it reaches into.
parts as (
    select
        tiered_spans.tiered_span_id,
        tiered_spans.block_quantity,
        stored_values.file_id,
        least(stored_values.to_us, tiered_spans.to_us)
        - greatest(stored_values.from_us, tiered_spans.from_us) as duration_us,
        case
            when tiered_spans.is_graduated
                then least(stored_values.stored_bytes, tiered_spans.tier_to) - tiered_spans.tier_from
            else stored_values.stored_bytes
        end::hugeint as part_bytes
    from stored_values
    inner join tiered_spans
        on
            stored_values.meter_id = tiered_spans.meter_id
            and stored_values.from_us < tiered_spans.to_us
            and stored_values.to_us > tiered_spans.from_us
            and (tiered_spans.tier_from is null or stored_values.stored_bytes >= tiered_spans.tier_from)
            and (
                tiered_spans.tier_to is null
                or stored_values.stored_bytes < tiered_spans.tier_to
                or tiered_spans.is_graduated
            )
),

summed as (
    select
        tiered_span_id,
        file_id,
        sum(duration_us)::hugeint as duration_us,
        sum(part_bytes * duration_us) as part_byte_us,
        -- Whole started blocks; null where the tier counts bytes.
        sum((part_bytes + block_quantity - 1) // block_quantity * duration_us) as block_us,
        count(*) as source_rows
    from parts
    where part_bytes > 0
    group by tiered_span_id, file_id
)

select
    tiered_spans.meter_id,
    tiered_spans.span_number,
    tiered_spans.tier_from,
    summed.file_id,
    summed.duration_us,
    summed.part_byte_us,
    summed.block_us,
    summed.source_rows
from summed
inner join tiered_spans
    on summed.tiered_span_id = tiered_spans.tiered_span_id
