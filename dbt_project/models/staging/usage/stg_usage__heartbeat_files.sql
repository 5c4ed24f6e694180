with heartbeats as (
    select * from {{ source('usage', 'heartbeats') }}
),

sources as (
    select * from {{ source('usage', 'heartbeat_sources') }}
)

select
    heartbeats.meter_id as heartbeat_meter_id,
    heartbeats.instance_id,
    heartbeats.sampled_us,
    sources.file_id
from heartbeats
positional join sources
