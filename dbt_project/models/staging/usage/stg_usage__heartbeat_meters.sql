with heartbeat_meters as (
    select * from {{ source('usage', 'heartbeat_meters') }}
),

runtime_meters as (
    select * from {{ source('usage', 'runtime_meters') }}
),

unused_id as (
    select coalesce(max(meter_id), -1) + 1 as first_meter_id
    from runtime_meters
)

-- What runs, runs as one meter, however it was measured.
select
    heartbeat_meters.meter_id as heartbeat_meter_id,
    coalesce(runtime_meters.meter_id, unused_id.first_meter_id + heartbeat_meters.meter_id) as meter_id,
    runtime_meters.meter_id is null as is_new,
    -- Without a flavour it is powered off.
    not ends_with(heartbeat_meters.slug, '.') as is_powered,
    heartbeat_meters.owner_id,
    heartbeat_meters.resource_id,
    heartbeat_meters.resource_name,
    heartbeat_meters.slug,
    heartbeat_meters.zone
from heartbeat_meters
left join runtime_meters
    on
        heartbeat_meters.owner_id = runtime_meters.owner_id
        and heartbeat_meters.resource_id = runtime_meters.resource_id
        and heartbeat_meters.slug = runtime_meters.slug
        and heartbeat_meters.zone = runtime_meters.zone
cross join unused_id
