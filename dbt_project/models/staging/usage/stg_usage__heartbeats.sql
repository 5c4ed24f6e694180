with heartbeats as (
    select * from {{ source('usage', 'heartbeats') }}
)

select
    meter_id as heartbeat_meter_id,
    instance_id,
    sampled_us,
    source
from heartbeats
