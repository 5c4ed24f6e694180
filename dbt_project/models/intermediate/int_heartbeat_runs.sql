with heartbeats as not materialized (
    select * from {{ ref('stg_usage__heartbeats') }}
),

heartbeat_meters as (
    select * from {{ ref('stg_usage__heartbeat_meters') }}
),

limits as (
    select * from {{ ref('stg_run__heartbeat_limits') }}
),

-- Few instances are seen many times: numbers instead of their texts are what is sorted.
instances as (
    select
        instance_id,
        row_number() over (order by instance_id) as instance_number,
        min(sampled_us) as first_sampled_us
    from heartbeats
    group by instance_id
),

numbered as (
    select
        instances.instance_number,
        heartbeats.heartbeat_meter_id,
        heartbeats.sampled_us,
        coalesce(own_limits.nominal_us, usual_limits.nominal_us) as nominal_us,
        coalesce(own_limits.gap_us, usual_limits.gap_us) as gap_us
    from heartbeats
    inner join instances
        on heartbeats.instance_id = instances.instance_id
    left join limits as own_limits
        on heartbeats.source = own_limits.source
    inner join limits as usual_limits
        on usual_limits.source is null
),

followed as (
    select
        instance_number,
        heartbeat_meter_id,
        sampled_us,
        nominal_us,
        gap_us,
        lead(sampled_us) over following as next_sampled_us,
        lead(heartbeat_meter_id) over following as next_meter_id
    from numbered
    window following as (partition by instance_number order by sampled_us)
),

-- The last heartbeat of a run holds for the nominal period, but not beyond the next one of the instance.
last_heartbeats as (
    select
        instance_number,
        heartbeat_meter_id,
        sampled_us as last_sampled_us,
        next_sampled_us,
        least(sampled_us + nominal_us, next_sampled_us) as ended_us
    from followed
    where
        next_sampled_us is null
        or next_sampled_us - sampled_us > gap_us
        or next_meter_id <> heartbeat_meter_id
),

-- A run begins with the heartbeat that followed the run before it.
runs as (
    select
        instance_number,
        heartbeat_meter_id,
        lag(next_sampled_us) over (partition by instance_number order by ended_us) as began_us,
        last_sampled_us,
        ended_us
    from last_heartbeats
)

select
    heartbeat_meters.meter_id,
    runs.heartbeat_meter_id,
    instances.instance_id,
    coalesce(runs.began_us, instances.first_sampled_us) as began_us,
    runs.last_sampled_us,
    runs.ended_us
from runs
inner join instances
    on runs.instance_number = instances.instance_number
inner join heartbeat_meters
    on runs.heartbeat_meter_id = heartbeat_meters.heartbeat_meter_id
where heartbeat_meters.is_powered
