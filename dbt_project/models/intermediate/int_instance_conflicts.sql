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
        max({'stopped_us': united_runs.stopped_us, 'meter_id': united_runs.meter_id}) over (
            partition by united_runs.instance_id
            order by united_runs.started_us, united_runs.stopped_us, united_runs.meter_id
            rows between unbounded preceding and 1 preceding
        ) as longest_before
    from united_runs
    semi join moved_instances
        on united_runs.instance_id = moved_instances.instance_id
)

select
    instance_id,
    meter_id,
    longest_before.meter_id as other_meter_id,
    started_us as overlaps_from_us
from preceded
where longest_before.stopped_us > started_us
