with runtime_meters as (
    select * from {{ source('usage', 'runtime_meters') }}
),

heartbeat_meters as (
    select * from {{ ref('stg_usage__heartbeat_meters') }}
),

storage_meters as (
    select * from {{ source('usage', 'storage_meters') }}
),

traffic_meters as (
    select * from {{ source('usage', 'traffic_meters') }}
),

units_meters as (
    select * from {{ source('usage', 'units_meters') }}
),

meters as (
    select
        'runtime' as basis,
        runtime_meters.*
    from runtime_meters
    union all by name
    select
        'runtime' as basis,
        meter_id,
        owner_id,
        resource_id,
        resource_name,
        slug,
        zone
    from heartbeat_meters
    where is_new and is_powered
    union all by name
    select
        'stored' as basis,
        storage_meters.*
    from storage_meters
    union all by name
    select
        'moved' as basis,
        traffic_meters.*
    from traffic_meters
    union all by name
    select
        'units' as basis,
        units_meters.*
    from units_meters
)

select
    basis,
    meter_id,
    owner_id,
    resource_id,
    resource_name,
    slug,
    zone
from meters
