with meters as (
    select * from {{ ref('int_meters') }}
    where basis in ('runtime', 'moved')
),

intervals as not materialized (
    select * from {{ ref('stg_usage__runtime_intervals') }}
),

heartbeat_runs as (
    select * from {{ ref('int_heartbeat_runs') }}
),

deltas as not materialized (
    select * from {{ ref('stg_usage__traffic_deltas') }}
),

period as (
    select * from {{ ref('stg_run__period') }}
),

-- Few resources have two owners in a month: only their usage is looked at.
shared_resources as (
    select
        basis,
        resource_id
    from meters
    group by basis, resource_id
    having count(distinct owner_id) > 1
),

shared_meters as (
    select
        meters.basis,
        meters.meter_id,
        meters.owner_id,
        meters.resource_id
    from meters
    semi join shared_resources
        on
            meters.basis = shared_resources.basis
            and meters.resource_id = shared_resources.resource_id
),

-- A run that was only seen is certain up to its last heartbeat.
uses as (
    select
        'runtime' as basis,
        meter_id,
        started_us,
        stopped_us
    from intervals
    union all
    select
        'runtime' as basis,
        meter_id,
        began_us as started_us,
        last_sampled_us as stopped_us
    from heartbeat_runs
    union all
    select
        'moved' as basis,
        meter_id,
        started_us,
        stopped_us
    from deltas
),

owned as (
    select
        shared_meters.basis,
        shared_meters.resource_id,
        shared_meters.owner_id,
        greatest(uses.started_us, period.period_start_us) as started_us,
        least(uses.stopped_us, period.period_end_us) as stopped_us
    from uses
    inner join shared_meters
        on
            uses.basis = shared_meters.basis
            and uses.meter_id = shared_meters.meter_id
    cross join period
),

-- What one owner uses at once is one stretch.
marked as (
    select
        *,
        coalesce(
            started_us > max(stopped_us) over (
                partition by basis, resource_id, owner_id
                order by started_us, stopped_us
                rows between unbounded preceding and 1 preceding
            ),
            true
        ) as is_first
    from owned
    where started_us < stopped_us
),

numbered as (
    select
        *,
        count(*) filter (where is_first) over (
            partition by basis, resource_id, owner_id
            order by started_us, stopped_us
            rows between unbounded preceding and current row
        ) as stretch
    from marked
),

stretches as (
    select
        basis,
        resource_id,
        owner_id,
        min(started_us) as started_us,
        max(stopped_us) as stopped_us
    from numbered
    group by basis, resource_id, owner_id, stretch
),

-- Stretches of one owner are disjoint by now, so what reaches past the start of one belongs to another owner.
preceded as (
    select
        *,
        max(row(stopped_us, owner_id)) over (
            partition by basis, resource_id
            order by started_us, stopped_us, owner_id
            rows between unbounded preceding and 1 preceding
        ) as longest_before
    from stretches
)

select
    basis,
    resource_id,
    owner_id,
    longest_before[2] as other_owner_id,
    started_us as overlaps_from_us
from preceded
where longest_before[1] > started_us
