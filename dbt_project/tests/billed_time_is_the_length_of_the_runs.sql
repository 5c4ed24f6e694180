-- Every microsecond that was told is billed once, was unusable, was told before, or is of an instance that conflicts
-- with itself; and every billed one falls into exactly one price span.
with intervals as (
    select * from {{ ref('stg_usage__runtime_intervals') }}
),

heartbeat_runs as (
    select * from {{ ref('int_heartbeat_runs') }}
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

period as (
    select * from {{ ref('stg_run__period') }}
),

figures as (
    select
        (select sum(intervals.stopped_us - intervals.started_us) from intervals) as measured_us,
        (
            select
                sum(
                    greatest(
                        least(heartbeat_runs.ended_us, period.period_end_us)
                        - greatest(heartbeat_runs.began_us, period.period_start_us),
                        0
                    )
                )
            from heartbeat_runs
            cross join period
        ) as seen_us,
        (select sum(united_runs.overlapped_us) from united_runs) as overlapped_us,
        (
            select sum(united_runs.stopped_us - united_runs.started_us)
            from united_runs
            semi join conflicts
                on united_runs.instance_id = conflicts.instance_id
        ) as conflicting_us,
        (select sum(unusable_usage.stopped_us - unusable_usage.started_us) from unusable_usage) as unusable_us,
        (select sum(epoch_us(runs.stopped_at) - epoch_us(runs.started_at)) from runs) as run_us,
        (select sum(usage.duration_us) from usage) as used_us
)

select
    measured_us,
    seen_us,
    overlapped_us,
    conflicting_us,
    unusable_us,
    run_us,
    used_us
from figures
where
    coalesce(measured_us, 0) + coalesce(seen_us, 0)
    <> coalesce(run_us, 0) + coalesce(unusable_us, 0) + coalesce(overlapped_us, 0) + coalesce(conflicting_us, 0)
    or run_us is distinct from used_us
