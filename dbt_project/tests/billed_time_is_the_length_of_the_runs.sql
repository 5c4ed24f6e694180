-- Every microsecond that an instance ran and could be used falls into exactly one billed run and one price span.
with intervals as (
    select * from {{ ref('stg_usage__runtime_intervals') }}
),

composed_instances as (
    select * from {{ ref('int_composed_instances') }}
),

united_runs as (
    select * from {{ ref('int_united_runs') }}
),

conflicts as (
    select * from {{ ref('int_instance_conflicts') }}
),

unusable_usage as (
    select * from {{ ref('int_unusable_usage') }}
),

runs as (
    select * from {{ ref('runs') }}
),

usage as (
    select * from {{ ref('int_runtime_usage') }}
),

figures as (
    select
        (
            select sum(intervals.stopped_us - intervals.started_us)
            from intervals
            anti join composed_instances
                on hash(intervals.instance_id) = composed_instances.instance_hash
        ) as single_us,
        (
            select sum(united_runs.stopped_us - united_runs.started_us)
            from united_runs
            anti join conflicts
                on united_runs.instance_id = conflicts.instance_id
        ) as united_us,
        (select sum(unusable_usage.stopped_us - unusable_usage.started_us) from unusable_usage) as unusable_us,
        (select sum(epoch_us(runs.stopped_at) - epoch_us(runs.started_at)) from runs) as run_us,
        (select sum(usage.duration_us) from usage) as used_us
)

select
    single_us,
    united_us,
    unusable_us,
    run_us,
    used_us
from figures
where
    coalesce(single_us, 0) + coalesce(united_us, 0) - coalesce(unusable_us, 0) <> coalesce(run_us, 0)
    or run_us is distinct from used_us
