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

cuts as (
    select
        meter_id,
        max(from_us) as cut_us
    from meter_spans
    group by meter_id
    having count(*) = 2
),

-- Prices mostly change at one instant for many meters; any choice gives the same sums. None: everything lies after 0.
main_cut as (
    select coalesce(mode(cut_us), 0) as main_cut_us
    from cuts
),

-- Meters that keep their price all month, or change it at the main cut only, need two sums and no join per run.
meter_sums as (
    select
        runs.meter_id,
        sum(runs.stopped_us - runs.started_us) as duration_us,
        sum(
            least(runs.stopped_us, (select main_cut.main_cut_us from main_cut))
            - least(runs.started_us, (select main_cut.main_cut_us from main_cut))
        ) as before_cut_us
    from runs
    group by runs.meter_id
),

summed_spans as (
    select
        meter_spans.meter_id,
        meter_spans.span_number,
        case
            when meter_spans.is_whole_month then meter_sums.duration_us
            when meter_spans.from_us < main_cut.main_cut_us then meter_sums.before_cut_us
            else meter_sums.duration_us - meter_sums.before_cut_us
        end as duration_us
    from meter_spans
    inner join meter_sums
        on meter_spans.meter_id = meter_sums.meter_id
    left join cuts
        on meter_spans.meter_id = cuts.meter_id
    cross join main_cut
    where meter_spans.is_whole_month or cuts.cut_us = main_cut.main_cut_us
),

other_spans as (
    select
        meter_spans.meter_id,
        meter_spans.span_number,
        meter_spans.from_us,
        meter_spans.to_us
    from meter_spans
    left join cuts
        on meter_spans.meter_id = cuts.meter_id
    cross join main_cut
    where not meter_spans.is_whole_month and cuts.cut_us is distinct from main_cut.main_cut_us
),

joined_spans as (
    select
        other_spans.meter_id,
        other_spans.span_number,
        sum(least(runs.stopped_us, other_spans.to_us) - greatest(runs.started_us, other_spans.from_us)) as duration_us
    from runs
    inner join other_spans
        on
            runs.meter_id = other_spans.meter_id
            and runs.started_us < other_spans.to_us
            and runs.stopped_us > other_spans.from_us
    group by other_spans.meter_id, other_spans.span_number
)

select
    meter_id,
    span_number,
    duration_us
from summed_spans
where duration_us > 0
union all
select
    meter_id,
    span_number,
    duration_us
from joined_spans
