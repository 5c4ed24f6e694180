with intervals as (
    select * from {{ ref('stg_usage__runtime_intervals') }}
),

repeated_instances as (
    select * from {{ ref('int_repeated_instances') }}
),

united_runs as (
    select * from {{ ref('int_united_runs') }}
),

conflicts as (
    select * from {{ ref('int_instance_conflicts') }}
),

single_runs as (
    select
        intervals.meter_id,
        intervals.instance_id,
        intervals.started_us,
        intervals.stopped_us
    from intervals
    anti join repeated_instances
        on hash(intervals.instance_id) = repeated_instances.instance_hash
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
        united_runs.meter_id,
        united_runs.instance_id,
        united_runs.started_us,
        united_runs.stopped_us
    from united_runs
    anti join conflicts
        on united_runs.instance_id = conflicts.instance_id
)

select
    meter_id,
    instance_id,
    make_timestamptz(started_us) as started_at,
    make_timestamptz(stopped_us) as stopped_at
from disjoint_runs
