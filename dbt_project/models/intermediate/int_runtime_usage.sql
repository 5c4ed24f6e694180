-- Both branches read the runs by themselves: kept once for both, they would fill the memory of a large month.
with runs as not materialized (
    select
        meter_id,
        epoch_us(started_at) as started_us,
        epoch_us(stopped_at) as stopped_us
    from {{ ref('runs') }}
),

meter_spans as (
    select * from {{ ref('int_meter_spans') }}
    where basis = 'runtime'
),

-- Almost every meter keeps its price all month: one sum by a whole number, and no join per run.
meter_sums as (
    select
        meter_id,
        sum(stopped_us - started_us) as duration_us
    from runs
    group by meter_id
),

whole_months as (
    select
        meter_spans.meter_id,
        meter_spans.span_number,
        meter_sums.duration_us
    from meter_spans
    inner join meter_sums
        on meter_spans.meter_id = meter_sums.meter_id
    where meter_spans.is_whole_month
),

cut_months as (
    select
        meter_spans.meter_id,
        meter_spans.span_number,
        sum(least(runs.stopped_us, meter_spans.to_us) - greatest(runs.started_us, meter_spans.from_us)) as duration_us
    from runs
    inner join meter_spans
        on
            runs.meter_id = meter_spans.meter_id
            and runs.started_us < meter_spans.to_us
            and runs.stopped_us > meter_spans.from_us
    where not meter_spans.is_whole_month
    group by meter_spans.meter_id, meter_spans.span_number
)

select
    meter_id,
    span_number,
    duration_us
from whole_months
union all
select
    meter_id,
    span_number,
    duration_us
from cut_months
