with earlier_runs as (
    select * from {{ source('run', 'earlier_runs') }}
),

meters as (
    select * from {{ ref('stg_usage__meters') }}
    where basis = 'runtime'
)

select
    meters.meter_id,
    earlier_runs.instance_id,
    epoch_us(earlier_runs.started_at) as began_us,
    epoch_us(earlier_runs.stopped_at) as ended_us
from earlier_runs
inner join meters
    on
        earlier_runs.owner_id = meters.owner_id
        and earlier_runs.resource_id = meters.resource_id
        and earlier_runs.slug = meters.slug
        and earlier_runs.zone = meters.zone
