with samples as (
    select * from {{ source('usage', 'storage_samples') }}
),

sources as (
    select * from {{ source('usage', 'storage_sources') }}
)

select
    samples.meter_id,
    samples.sampled_us,
    samples.bytes as stored_bytes,
    sources.file_id
from samples
positional join sources
