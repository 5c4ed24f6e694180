with samples as (
    select * from {{ ref('stg_usage__storage_samples') }}
),

meters as (
    select * from {{ ref('int_meters') }}
    where basis = 'stored'
),

meter_spans as (
    select * from {{ ref('int_meter_spans') }}
    where basis = 'stored'
),

price_tiers as (
    select * from {{ ref('stg_accounts__price_tiers') }}
),

period as (
    select * from {{ ref('stg_run__period') }}
),

-- A value holds until the next sample of the same resource and slug, even if that one has another owner or zone.
ended as (
    select
        samples.meter_id,
        samples.stored_bytes,
        samples.file_id,
        samples.sampled_us,
        lead(samples.sampled_us) over (partition by meters.series_id order by samples.sampled_us) as next_sampled_us
    from samples
    inner join meters
        on samples.meter_id = meters.meter_id
),

held as (
    select
        ended.meter_id,
        ended.stored_bytes,
        ended.file_id,
        greatest(ended.sampled_us, period.period_start_us) as from_us,
        least(coalesce(ended.next_sampled_us, period.period_end_us), period.period_end_us) as to_us
    from ended
    cross join period
    where ended.stored_bytes > 0
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
        coalesce(price_tiers.tier_mode, 'flat') = 'graduated' as is_graduated
    from meter_spans
    left join price_tiers
        on
            meter_spans.price_id = price_tiers.price_id
            and meter_spans.price_factor_ppm = price_tiers.price_factor_ppm
            and meter_spans.reason is null
),

parts as (
    select
        held.meter_id,
        held.file_id,
        tiered_spans.span_number,
        tiered_spans.tier_from,
        tiered_spans.block_quantity,
        least(held.to_us, tiered_spans.to_us) - greatest(held.from_us, tiered_spans.from_us) as duration_us,
        case
            when tiered_spans.is_graduated
                then least(held.stored_bytes, coalesce(tiered_spans.tier_to, held.stored_bytes)) - tiered_spans.tier_from
            else held.stored_bytes
        end::hugeint as part_bytes
    from held
    inner join tiered_spans
        on
            held.meter_id = tiered_spans.meter_id
            and held.from_us < held.to_us
            and held.from_us < tiered_spans.to_us
            and held.to_us > tiered_spans.from_us
            and (
                tiered_spans.tier_from is null
                or held.stored_bytes > tiered_spans.tier_from
                or (held.stored_bytes = tiered_spans.tier_from and not tiered_spans.is_graduated)
            )
            and (
                tiered_spans.is_graduated
                or tiered_spans.tier_to is null
                or held.stored_bytes < tiered_spans.tier_to
            )
)

select
    meter_id,
    span_number,
    tier_from,
    file_id,
    sum(duration_us)::hugeint as duration_us,
    sum(part_bytes * duration_us) as part_byte_us,
    -- Whole started blocks; null where the tier counts bytes.
    sum((part_bytes + block_quantity - 1) // block_quantity * duration_us) as block_us,
    count(*) as source_rows
from parts
group by meter_id, span_number, tier_from, file_id
