with intervals as (
    select * from {{ ref('stg_usage__runtime_intervals') }}
),

heartbeat_runs as (
    select * from {{ ref('int_heartbeat_runs') }}
),

following_intervals as (
    select * from {{ ref('stg_usage__following_intervals') }}
),

earlier_runs as (
    select * from {{ ref('int_earlier_runs') }}
),

composed_instances as (
    select * from {{ ref('int_composed_instances') }}
),

period as (
    select * from {{ ref('stg_run__period') }}
),

measured as (
    select
        intervals.meter_id,
        intervals.instance_id,
        intervals.began_us,
        intervals.ended_us
    from intervals
    semi join composed_instances
        on hash(intervals.instance_id) = composed_instances.instance_hash
    union all
    select
        meter_id,
        instance_id,
        began_us,
        ended_us
    from heartbeat_runs
    union all
    select
        meter_id,
        instance_id,
        began_us,
        ended_us
    from earlier_runs
    union all
    select
        meter_id,
        instance_id,
        began_us,
        ended_us
    from following_intervals
),

-- A run that starts after everything before it has stopped is the first of an island; touching runs are one.
marked as (
    select
        meter_id,
        instance_id,
        began_us,
        ended_us,
        coalesce(
            began_us > max(ended_us) over (
                partition by instance_id, meter_id
                order by began_us, ended_us
                rows between unbounded preceding and 1 preceding
            ),
            true
        ) as is_first
    from measured
),

islands as (
    select
        meter_id,
        instance_id,
        began_us,
        ended_us,
        count(*) filter (where is_first) over (
            partition by instance_id, meter_id
            order by began_us, ended_us
            rows between unbounded preceding and current row
        ) as island
    from marked
),

united as (
    select
        islands.meter_id,
        islands.instance_id,
        min(islands.began_us) as began_us,
        max(islands.ended_us) as ended_us,
        -- The rows one by one, inside the month.
        sum(
            greatest(
                least(islands.ended_us, period.period_end_us) - greatest(islands.began_us, period.period_start_us), 0
            )
        ) as measured_us,
        -- It was still running when another start was told.
        coalesce(
            max(islands.began_us) > min(islands.began_us) filter (where islands.ended_us = 9223372036854775807), false
        ) as is_double_start
    from islands
    cross join period
    group by islands.meter_id, islands.instance_id, islands.island
),

clipped as (
    select
        united.meter_id,
        united.instance_id,
        united.began_us,
        united.ended_us,
        united.measured_us,
        united.is_double_start,
        greatest(united.began_us, period.period_start_us) as started_us,
        least(united.ended_us, period.period_end_us) as stopped_us
    from united
    cross join period
)

select
    meter_id,
    instance_id,

    -- the whole run
    began_us,
    ended_us,

    -- inside the month
    started_us,
    stopped_us,

    -- what was told more than once
    measured_us - (stopped_us - started_us) as overlapped_us,
    is_double_start
from clipped
where started_us < stopped_us
