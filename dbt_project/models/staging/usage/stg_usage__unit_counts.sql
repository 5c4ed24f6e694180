with counts as (
    select * from {{ source('usage', 'unit_counts') }}
),

sources as (
    select * from {{ source('usage', 'units_sources') }}
)

select
    counts.meter_id,
    counts.sampled_us,
    counts.quantity as counted_units,
    sources.file_id
from counts
positional join sources
