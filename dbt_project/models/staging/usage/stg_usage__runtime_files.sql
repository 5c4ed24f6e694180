with intervals as (
    select * from {{ source('usage', 'runtime_intervals') }}
),

sources as (
    select * from {{ source('usage', 'runtime_sources') }}
),

period as (
    select * from {{ ref('stg_run__period') }}
),

located as (
    select
        intervals.meter_id,
        intervals.started_us,
        intervals.stopped_us,
        sources.file_id
    from intervals
    positional join sources
),

clipped as (
    select
        located.meter_id,
        located.file_id,
        greatest(located.started_us, period.period_start_us) as started_us,
        least(coalesce(located.stopped_us, period.period_end_us), period.period_end_us) as stopped_us
    from located
    cross join period
)

select
    meter_id,
    file_id,
    started_us,
    stopped_us
from clipped
where started_us < stopped_us
