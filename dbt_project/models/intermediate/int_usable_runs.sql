with united_runs as (
    select * from {{ ref('int_united_runs') }}
),

unusable_parts as (
    select * from {{ ref('int_unusable_parts') }}
),

conflicts as (
    select * from {{ ref('int_instance_conflicts') }}
),

runs as (
    select
        united_runs.meter_id,
        united_runs.instance_id,
        united_runs.started_us,
        united_runs.stopped_us
    from united_runs
    anti join conflicts
        on united_runs.instance_id = conflicts.instance_id
),

inside as (
    select
        runs.meter_id,
        runs.instance_id,
        runs.started_us,
        runs.stopped_us,
        greatest(unusable_parts.from_us, runs.started_us) as from_us,
        least(unusable_parts.to_us, runs.stopped_us) as to_us
    from runs
    inner join unusable_parts
        on
            runs.instance_id = unusable_parts.instance_id
            and runs.meter_id = unusable_parts.meter_id
            and runs.started_us < unusable_parts.to_us
            and runs.stopped_us > unusable_parts.from_us
),

-- What is left of a run: before its first unusable part, and after each one up to the next or to the end.
left_over as (
    select
        meter_id,
        instance_id,
        started_us,
        min(from_us) as stopped_us
    from inside
    group by meter_id, instance_id, started_us
    union all
    select
        meter_id,
        instance_id,
        to_us as started_us,
        lead(from_us, 1, stopped_us)
            over (partition by instance_id, meter_id, started_us order by from_us)
            as stopped_us
    from inside
    union all
    select
        runs.meter_id,
        runs.instance_id,
        runs.started_us,
        runs.stopped_us
    from runs
    anti join inside
        on
            runs.instance_id = inside.instance_id
            and runs.meter_id = inside.meter_id
            and runs.started_us = inside.started_us
)

select
    meter_id,
    instance_id,
    started_us,
    stopped_us
from left_over
where started_us < stopped_us
