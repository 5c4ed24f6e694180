with united_runs as (
    select * from {{ ref('int_united_runs') }}
),

moved_instances as (
    select instance_id
    from united_runs
    group by instance_id
    having count(distinct meter_id) > 1
),

-- Runs of one meter are disjoint by now, so what reaches past the start of a run belongs to another meter.
preceded as (
    select
        united_runs.instance_id,
        united_runs.meter_id,
        united_runs.started_us,
        max(row(united_runs.stopped_us, united_runs.meter_id)) over (
            partition by united_runs.instance_id
            order by united_runs.started_us, united_runs.stopped_us, united_runs.meter_id
            rows between unbounded preceding and 1 preceding
        ) as longest_before,
        longest_before[1] as stopped_before_us,
        longest_before[2] as meter_before
    from united_runs
    semi join moved_instances
        on united_runs.instance_id = moved_instances.instance_id
)

select
    instance_id,
    meter_id,
    meter_before as other_meter_id,
    started_us as overlaps_from_us
from preceded
where stopped_before_us > started_us
