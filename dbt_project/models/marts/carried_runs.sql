-- Of very many intervals few are kept: each part reads them by itself.
with intervals as not materialized (
    select * from {{ ref('stg_usage__runtime_intervals') }}
),

heartbeats as not materialized (
    select * from {{ ref('stg_usage__heartbeats') }}
),

heartbeat_runs as (
    select * from {{ ref('int_heartbeat_runs') }}
),

composed_instances as (
    select * from {{ ref('int_composed_instances') }}
),

united_runs as (
    select * from {{ ref('int_united_runs') }}
),

meters as (
    select * from {{ ref('int_meters') }}
    where basis = 'runtime'
),

period as (
    select * from {{ ref('stg_run__period') }}
),

-- What may go on: runs that reach the month's end, and those whose heartbeats the next month sees, too.
runs as (
    select
        united_runs.meter_id,
        united_runs.instance_id,
        united_runs.began_us,
        united_runs.ended_us
    from united_runs
    cross join period
    where united_runs.ended_us > period.next_sees_us
    union all
    select
        intervals.meter_id,
        intervals.instance_id,
        intervals.began_us,
        intervals.ended_us
    from intervals
    cross join period
    anti join composed_instances
        on hash(intervals.instance_id) = composed_instances.instance_hash
    where intervals.ended_us = period.period_end_us
),

-- From where on the next month sees it by itself.
seen_intervals as (
    select
        intervals.meter_id,
        intervals.instance_id,
        intervals.began_us as seen_us
    from intervals
    cross join period
    where intervals.ended_us > period.period_end_us
),

last_heartbeats as (
    select
        heartbeats.heartbeat_meter_id,
        heartbeats.instance_id,
        heartbeats.sampled_us
    from heartbeats
    cross join period
    where heartbeats.sampled_us >= period.next_sees_us
),

seen_heartbeats as (
    select
        heartbeat_runs.meter_id,
        heartbeat_runs.instance_id,
        min(last_heartbeats.sampled_us) as seen_us
    from heartbeat_runs
    inner join last_heartbeats
        on
            heartbeat_runs.instance_id = last_heartbeats.instance_id
            and heartbeat_runs.heartbeat_meter_id = last_heartbeats.heartbeat_meter_id
            and heartbeat_runs.began_us <= last_heartbeats.sampled_us
            and heartbeat_runs.ended_us > last_heartbeats.sampled_us
    group by heartbeat_runs.meter_id, heartbeat_runs.instance_id, heartbeat_runs.began_us
),

seen as (
    select
        meter_id,
        instance_id,
        seen_us
    from seen_intervals
    union all
    select
        meter_id,
        instance_id,
        seen_us
    from seen_heartbeats
),

followed as (
    select
        runs.meter_id,
        runs.instance_id,
        runs.began_us,
        runs.ended_us,
        min(seen.seen_us) as seen_us
    from runs
    left join seen
        on
            runs.meter_id = seen.meter_id
            and runs.instance_id = seen.instance_id
            and runs.began_us <= seen.seen_us
            and runs.ended_us > seen.seen_us
    group by runs.meter_id, runs.instance_id, runs.began_us, runs.ended_us
),

-- Of what nothing is seen any more, only a run that ends with the month can go on.
unseen as (
    select
        followed.meter_id,
        followed.instance_id,
        followed.began_us,
        coalesce(followed.seen_us, period.period_end_us) as until_us
    from followed
    cross join period
    where
        followed.began_us < followed.seen_us
        or (followed.seen_us is null and followed.ended_us >= period.period_end_us)
)

select
    meters.owner_id,
    meters.resource_id,
    meters.slug,
    meters.zone,
    unseen.instance_id,
    make_timestamptz(unseen.began_us) as started_at,
    make_timestamptz(unseen.until_us) as stopped_at
from unseen
inner join meters
    on unseen.meter_id = meters.meter_id
