-- Both branches read the intervals by themselves, as in int_runtime_usage.
with runtime_files as not materialized (
    select * from {{ ref('stg_usage__runtime_files') }}
),

meter_spans as (
    select * from {{ ref('int_meter_spans') }}
    where basis = 'runtime'
),

meter_files as (
    select
        meter_id,
        file_id,
        count(*) as source_rows
    from runtime_files
    group by meter_id, file_id
),

whole_months as (
    select
        meter_spans.meter_id,
        meter_spans.span_number,
        meter_files.file_id,
        meter_files.source_rows
    from meter_spans
    inner join meter_files
        on meter_spans.meter_id = meter_files.meter_id
    where meter_spans.is_whole_month
),

cut_months as (
    select
        meter_spans.meter_id,
        meter_spans.span_number,
        runtime_files.file_id,
        count(*) as source_rows
    from runtime_files
    inner join meter_spans
        on
            runtime_files.meter_id = meter_spans.meter_id
            and runtime_files.started_us < meter_spans.to_us
            and runtime_files.stopped_us > meter_spans.from_us
    where not meter_spans.is_whole_month
    group by meter_spans.meter_id, meter_spans.span_number, runtime_files.file_id
)

select
    meter_id,
    span_number,
    file_id,
    source_rows
from whole_months
union all
select
    meter_id,
    span_number,
    file_id,
    source_rows
from cut_months
