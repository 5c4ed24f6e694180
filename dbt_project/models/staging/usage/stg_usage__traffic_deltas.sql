with deltas as (
    select * from {{ source('usage', 'traffic_deltas') }}
),

sources as (
    select * from {{ source('usage', 'traffic_sources') }}
)

select
    deltas.meter_id,
    deltas.started_us,
    deltas.stopped_us,
    -- An interval is half-open, so its last instant is the microsecond before it stops.
    greatest(deltas.stopped_us - 1, deltas.started_us) as counted_us,
    deltas.bytes as moved_bytes,
    sources.file_id
from deltas
positional join sources
