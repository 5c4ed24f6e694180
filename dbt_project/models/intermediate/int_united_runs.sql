with intervals as (
    select * from {{ ref('stg_usage__runtime_intervals') }}
),

repeated_instances as (
    select * from {{ ref('int_repeated_instances') }}
),

nominated as (
    select
        intervals.meter_id,
        intervals.instance_id,
        intervals.started_us,
        intervals.stopped_us
    from intervals
    semi join repeated_instances
        on hash(intervals.instance_id) = repeated_instances.instance_hash
),

-- A run that starts after everything before it has stopped is the first of an island; touching runs are one.
marked as (
    select
        meter_id,
        instance_id,
        started_us,
        stopped_us,
        coalesce(
            started_us > max(stopped_us) over (
                partition by instance_id, meter_id
                order by started_us, stopped_us
                rows between unbounded preceding and 1 preceding
            ),
            true
        ) as is_first
    from nominated
),

islands as (
    select
        meter_id,
        instance_id,
        started_us,
        stopped_us,
        count(*) filter (where is_first) over (
            partition by instance_id, meter_id
            order by started_us, stopped_us
            rows between unbounded preceding and current row
        ) as island
    from marked
)

select
    meter_id,
    instance_id,
    min(started_us) as started_us,
    max(stopped_us) as stopped_us
from islands
group by meter_id, instance_id, island
