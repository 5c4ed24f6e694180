-- Both branches read the heartbeats by themselves, as in int_runtime_usage.
with heartbeat_files as not materialized (
    select * from {{ ref('stg_usage__heartbeat_files') }}
),

heartbeat_meters as (
    select * from {{ ref('stg_usage__heartbeat_meters') }}
    where is_powered
),

heartbeat_runs as (
    select * from {{ ref('int_heartbeat_runs') }}
),

meter_spans as (
    select * from {{ ref('int_meter_spans') }}
    where basis = 'runtime'
),

heartbeat_spans as (
    select
        meter_spans.meter_id,
        meter_spans.span_number,
        heartbeat_meters.heartbeat_meter_id,
        meter_spans.from_us,
        meter_spans.to_us
    from meter_spans
    inner join heartbeat_meters
        on meter_spans.meter_id = heartbeat_meters.meter_id
),

seen_inside as (
    select
        heartbeat_spans.meter_id,
        heartbeat_spans.span_number,
        heartbeat_files.file_id,
        count(*) as source_rows
    from heartbeat_files
    inner join heartbeat_spans
        on
            heartbeat_files.heartbeat_meter_id = heartbeat_spans.heartbeat_meter_id
            and heartbeat_files.sampled_us >= heartbeat_spans.from_us
            and heartbeat_files.sampled_us < heartbeat_spans.to_us
    group by heartbeat_spans.meter_id, heartbeat_spans.span_number, heartbeat_files.file_id
),

-- A run that crosses into a span is known there from its last heartbeat before.
crossing_runs as (
    select
        heartbeat_spans.meter_id,
        heartbeat_spans.span_number,
        heartbeat_spans.from_us,
        heartbeat_runs.heartbeat_meter_id,
        heartbeat_runs.instance_id,
        heartbeat_runs.began_us
    from heartbeat_runs
    inner join heartbeat_spans
        on
            heartbeat_runs.heartbeat_meter_id = heartbeat_spans.heartbeat_meter_id
            and heartbeat_runs.began_us < heartbeat_spans.from_us
            and heartbeat_runs.ended_us > heartbeat_spans.from_us
),

seen_before as (
    select
        crossing_runs.meter_id,
        crossing_runs.span_number,
        arg_max(heartbeat_files.file_id, heartbeat_files.sampled_us) as file_id
    from heartbeat_files
    inner join crossing_runs
        on
            heartbeat_files.instance_id = crossing_runs.instance_id
            and heartbeat_files.heartbeat_meter_id = crossing_runs.heartbeat_meter_id
            and heartbeat_files.sampled_us >= crossing_runs.began_us
            and heartbeat_files.sampled_us <= crossing_runs.from_us
    group by
        crossing_runs.meter_id,
        crossing_runs.span_number,
        crossing_runs.from_us,
        crossing_runs.instance_id
    having max(heartbeat_files.sampled_us) < crossing_runs.from_us
)

select
    meter_id,
    span_number,
    file_id,
    source_rows
from seen_inside
union all
select
    meter_id,
    span_number,
    file_id,
    count(*) as source_rows
from seen_before
group by meter_id, span_number, file_id
