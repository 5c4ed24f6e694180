-- Both branches read the deltas by themselves, as in int_runtime_usage.
with deltas as not materialized (
    select * from {{ ref('stg_usage__traffic_deltas') }}
    where moved_bytes > 0
),

meter_spans as (
    select * from {{ ref('int_meter_spans') }}
    where basis = 'moved'
),

meter_sums as (
    select
        meter_id,
        file_id,
        sum(moved_bytes) as moved_bytes,
        count(*) as source_rows
    from deltas
    group by meter_id, file_id
),

whole_months as (
    select
        meter_spans.meter_id,
        meter_spans.span_number,
        meter_sums.file_id,
        meter_sums.moved_bytes,
        meter_sums.source_rows
    from meter_spans
    inner join meter_sums
        on meter_spans.meter_id = meter_sums.meter_id
    where meter_spans.is_whole_month
),

cut_months as (
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
    where not meter_spans.is_whole_month
    group by meter_spans.meter_id, meter_spans.span_number, deltas.file_id
)

select
    meter_id,
    span_number,
    file_id,
    moved_bytes,
    source_rows
from whole_months
union all
select
    meter_id,
    span_number,
    file_id,
    moved_bytes,
    source_rows
from cut_months
