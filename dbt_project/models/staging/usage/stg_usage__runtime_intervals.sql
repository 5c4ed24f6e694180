with intervals as (
    select * from {{ source('usage', 'runtime_intervals') }}
),

period as (
    select * from {{ ref('stg_run__period') }}
),

clipped as (
    select
        intervals.meter_id,
        intervals.instance_id,
        greatest(intervals.started_us, period.period_start_us) as started_us,
        least(coalesce(intervals.stopped_us, period.period_end_us), period.period_end_us) as stopped_us
    from intervals
    cross join period
)

select
    meter_id,
    instance_id,
    started_us,
    stopped_us
from clipped
where started_us < stopped_us
