with united_runs as (
    select * from {{ ref('int_united_runs') }}
),

meters as (
    select * from {{ ref('int_meters') }}
    where basis = 'runtime'
),

-- Two seconds are clocks that differ.
overlapping as (
    select
        meter_id,
        instance_id,
        overlapped_us,
        case
            when is_double_start then 'double_start'
            when overlapped_us <= 2000000 then 'skew'
            else 'overlap'
        end as reason
    from united_runs
    where overlapped_us > 0
)

select
    meters.owner_id,
    overlapping.reason,
    count(distinct overlapping.instance_id) as instances,
    sum(overlapping.overlapped_us)::decimal(38, 0) as overlapped_us
from overlapping
inner join meters
    on overlapping.meter_id = meters.meter_id
group by meters.owner_id, overlapping.reason
