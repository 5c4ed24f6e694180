with intervals as (
    select * from {{ source('usage', 'runtime_intervals') }}
),

period as (
    select * from {{ ref('stg_run__period') }}
)

select
    intervals.meter_id,
    intervals.instance_id,
    intervals.started_us as began_us,
    coalesce(intervals.stopped_us, 9223372036854775807) as ended_us
from intervals
inner join period
    on intervals.started_us = period.period_end_us
