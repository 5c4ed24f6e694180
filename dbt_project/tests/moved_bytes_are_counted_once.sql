with deltas as (
    select sum(moved_bytes) as measured_bytes
    from {{ ref('stg_usage__traffic_deltas') }}
),

usage as (
    select sum(moved_bytes) as counted_bytes
    from {{ ref('int_moved_usage') }}
)

select
    deltas.measured_bytes,
    usage.counted_bytes
from deltas
cross join usage
where coalesce(deltas.measured_bytes, 0) <> coalesce(usage.counted_bytes, 0)
