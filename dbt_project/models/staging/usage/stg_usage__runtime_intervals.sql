with intervals as (
    select * from {{ source('usage', 'runtime_intervals') }}
),

period as (
    select * from {{ ref('stg_run__period') }}
),

bounded as (
    select
        meter_id,
        instance_id,
        started_us as began_us,
        -- Still running: later than any month.
        coalesce(stopped_us, 9223372036854775807) as ended_us
    from intervals
),

clipped as (
    select
        bounded.meter_id,
        bounded.instance_id,
        bounded.began_us,
        bounded.ended_us,
        greatest(bounded.began_us, period.period_start_us) as started_us,
        least(bounded.ended_us, period.period_end_us) as stopped_us
    from bounded
    cross join period
)

select
    meter_id,
    instance_id,

    -- as measured
    began_us,
    ended_us,

    -- inside the month
    started_us,
    stopped_us
from clipped
where started_us < stopped_us
