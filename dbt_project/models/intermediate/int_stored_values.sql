with samples as not materialized (
    select * from {{ ref('stg_usage__storage_samples') }}
),

meters as (
    select * from {{ ref('int_meters') }}
    where basis = 'stored'
),

period as (
    select * from {{ ref('stg_run__period') }}
),

-- A value holds until the next sample of the same resource and slug, even if that one has another owner or zone.
-- That is rare: other meters find the next sample among their own.
shared_meters as (
    select
        meter_id,
        series_id
    from meters
    qualify count(*) over (partition by series_id) > 1
),

own_values as (
    select
        samples.meter_id,
        samples.file_id,
        samples.stored_bytes,
        samples.sampled_us,
        lead(samples.sampled_us) over (partition by samples.meter_id order by samples.sampled_us) as next_sampled_us
    from samples
    anti join shared_meters
        on samples.meter_id = shared_meters.meter_id
),

shared_values as (
    select
        samples.meter_id,
        samples.file_id,
        samples.stored_bytes,
        samples.sampled_us,
        lead(samples.sampled_us) over (
            partition by shared_meters.series_id order by samples.sampled_us
        ) as next_sampled_us
    from samples
    inner join shared_meters
        on samples.meter_id = shared_meters.meter_id
),

all_values as (
    select * from own_values
    union all
    select * from shared_values
),

-- The last value holds to the end of the month: `least` passes over a null.
clipped as (
    select
        all_values.meter_id,
        all_values.file_id,
        all_values.stored_bytes,
        greatest(all_values.sampled_us, period.period_start_us) as from_us,
        least(all_values.next_sampled_us, period.period_end_us) as to_us
    from all_values
    cross join period
    where all_values.stored_bytes > 0
)

select
    meter_id,
    file_id,
    stored_bytes,
    from_us,
    to_us
from clipped
where from_us < to_us
