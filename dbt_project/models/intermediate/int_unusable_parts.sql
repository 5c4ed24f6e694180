with unusable_intervals as (
    select * from {{ ref('stg_usage__unusable_intervals') }}
),

united_runs as (
    select * from {{ ref('int_united_runs') }}
),

conflicts as (
    select * from {{ ref('int_instance_conflicts') }}
),

-- Where two faults overlap, the one that started first is the reason; the other is for what reaches beyond.
following as (
    select
        instance_id,
        started_us,
        stopped_us,
        reason,
        max(stopped_us) over (
            partition by instance_id
            order by started_us
            rows between unbounded preceding and 1 preceding
        ) as stopped_before_us
    from unusable_intervals
),

disjoint as (
    select
        instance_id,
        -- `greatest` passes over a null.
        greatest(started_us, stopped_before_us) as started_us,
        stopped_us,
        reason
    from following
    where stopped_before_us is null or stopped_us > stopped_before_us
)

select
    -- the run
    united_runs.meter_id,
    united_runs.instance_id,
    united_runs.began_us,
    united_runs.ended_us,

    -- its unusable part, which may reach over the month as the run may
    greatest(disjoint.started_us, united_runs.began_us) as from_us,
    least(disjoint.stopped_us, united_runs.ended_us) as to_us,
    disjoint.reason
from united_runs
inner join disjoint
    on
        united_runs.instance_id = disjoint.instance_id
        and united_runs.began_us < disjoint.stopped_us
        and united_runs.ended_us > disjoint.started_us
anti join conflicts
    on united_runs.instance_id = conflicts.instance_id
