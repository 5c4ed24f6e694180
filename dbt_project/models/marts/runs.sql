with intervals as (
    select * from {{ ref('stg_usage__runtime_intervals') }}
),

composed_instances as (
    select * from {{ ref('int_composed_instances') }}
),

usable_runs as (
    select * from {{ ref('int_usable_runs') }}
),

single_runs as (
    select
        intervals.meter_id,
        intervals.instance_id,
        intervals.started_us,
        intervals.stopped_us
    from intervals
    anti join composed_instances
        on hash(intervals.instance_id) = composed_instances.instance_hash
),

disjoint_runs as (
    select
        meter_id,
        instance_id,
        started_us,
        stopped_us
    from single_runs
    union all
    select
        meter_id,
        instance_id,
        started_us,
        stopped_us
    from usable_runs
)

select
    meter_id,
    instance_id,
    make_timestamptz(started_us) as started_at,
    make_timestamptz(stopped_us) as stopped_at
from disjoint_runs
