with united_runs as (
    select * from {{ ref('int_united_runs') }}
),

meters as (
    select * from {{ ref('int_meters') }}
    where basis = 'runtime'
)

select
    meters.owner_id,
    case when united_runs.is_double_start then 'double_start' else 'overlap' end as reason,
    count(distinct united_runs.instance_id) as instances,
    sum(united_runs.overlapped_us)::decimal(38, 0) as overlapped_us
from united_runs
inner join meters
    on united_runs.meter_id = meters.meter_id
where united_runs.overlapped_us > 0
group by meters.owner_id, united_runs.is_double_start
