with deltas as (
    select * from {{ ref('stg_usage__traffic_deltas') }}
),

meter_spans as (
    select * from {{ ref('int_meter_spans') }}
    where basis = 'moved'
)

select
    meter_spans.meter_id,
    meter_spans.span_number,
    deltas.file_id,
    sum(deltas.moved_bytes) as moved_bytes,
    count(*) as source_rows
from deltas
inner join meter_spans
    on
        deltas.meter_id = meter_spans.meter_id
        and deltas.counted_us >= meter_spans.from_us
        and deltas.counted_us < meter_spans.to_us
where deltas.moved_bytes > 0
group by meter_spans.meter_id, meter_spans.span_number, deltas.file_id
