with meter_spans as (
    select * from {{ ref('int_meter_spans') }}
    where basis = 'runtime' and reason is null
),

price_tiers as (
    select * from {{ ref('stg_accounts__price_tiers') }}
),

intervals as (
    select * from {{ ref('stg_usage__runtime_intervals') }}
),

composed_instances as (
    select * from {{ ref('int_composed_instances') }}
),

united_runs as (
    select * from {{ ref('int_united_runs') }}
),

conflicts as (
    select * from {{ ref('int_instance_conflicts') }}
),

unusable_parts as (
    select * from {{ ref('int_unusable_parts') }}
),

runtime_usage as (
    select * from {{ ref('int_runtime_usage') }}
),

granular_prices as (
    select distinct
        price_id,
        valid_from_us,
        granularity_us,
        minimum_us
    from price_tiers
    where granularity_us is not null or minimum_us is not null
),

granular_spans as (
    select
        meter_spans.meter_id,
        meter_spans.span_number,
        meter_spans.from_us,
        meter_spans.to_us,
        granular_prices.valid_from_us,
        granular_prices.granularity_us,
        granular_prices.minimum_us
    from meter_spans
    inner join granular_prices
        on meter_spans.price_id = granular_prices.price_id
),

-- Nobody asks for them where no price has granules; a large month has millions.
asked_composed_instances as (
    select instance_hash
    from composed_instances
    where exists (select true from granular_spans)
),

whole_runs as (
    select
        intervals.meter_id,
        intervals.instance_id,
        intervals.began_us,
        intervals.ended_us
    from intervals
    semi join granular_spans
        on intervals.meter_id = granular_spans.meter_id
    anti join asked_composed_instances
        on hash(intervals.instance_id) = asked_composed_instances.instance_hash
    union all
    select
        united_runs.meter_id,
        united_runs.instance_id,
        united_runs.began_us,
        united_runs.ended_us
    from united_runs
    anti join conflicts
        on united_runs.instance_id = conflicts.instance_id
),

-- Granules count from the start of the run, or of a price version that came later.
spanned_runs as (
    select
        whole_runs.meter_id,
        granular_spans.span_number,
        whole_runs.instance_id,
        whole_runs.began_us,
        whole_runs.ended_us,
        granular_spans.granularity_us,
        granular_spans.minimum_us,
        greatest(whole_runs.began_us, granular_spans.valid_from_us) as origin_us,
        greatest(whole_runs.began_us, granular_spans.from_us) as from_us,
        least(whole_runs.ended_us, granular_spans.to_us) as to_us,
        whole_runs.ended_us > granular_spans.from_us and whole_runs.ended_us <= granular_spans.to_us as is_end
    from whole_runs
    inner join granular_spans
        on
            whole_runs.meter_id = granular_spans.meter_id
            and whole_runs.began_us < granular_spans.to_us
            and whole_runs.ended_us > granular_spans.from_us
),

-- How many granules begin before an instant: what it is after the origin, in granules, rounded up.
begun as (
    select
        *,
        (from_us - origin_us + granularity_us - 1) // granularity_us as begun_before,
        (to_us - origin_us + granularity_us - 1) // granularity_us as begun_after
    from spanned_runs
),

-- Unusable parts that touch are one stretch.
marked as (
    select
        meter_id,
        instance_id,
        began_us,
        from_us,
        to_us,
        coalesce(
            from_us > lag(to_us) over (partition by instance_id, meter_id, began_us order by from_us), true
        ) as is_first
    from unusable_parts
),

numbered as (
    select
        *,
        count(*) filter (where is_first) over (
            partition by instance_id, meter_id, began_us
            order by from_us
            rows between unbounded preceding and current row
        ) as stretch
    from marked
),

stretches as (
    select
        meter_id,
        instance_id,
        began_us,
        min(from_us) as unusable_from_us,
        max(to_us) as unusable_to_us
    from numbered
    group by meter_id, instance_id, began_us, stretch
),

-- A granule is free if it is unusable up to its end, or to the end of the run.
bounded as (
    select
        begun.meter_id,
        begun.span_number,
        begun.instance_id,
        begun.began_us,
        stretches.unusable_from_us = begun.began_us and stretches.unusable_to_us = begun.ended_us as is_whole_run,
        greatest(
            (stretches.unusable_from_us - begun.origin_us + begun.granularity_us - 1) // begun.granularity_us,
            begun.begun_before
        ) as first_free,
        case
            when stretches.unusable_to_us = begun.ended_us then begun.begun_after
            else least((stretches.unusable_to_us - begun.origin_us) // begun.granularity_us, begun.begun_after)
        end as first_after
    from begun
    inner join stretches
        on
            begun.instance_id = stretches.instance_id
            and begun.meter_id = stretches.meter_id
            and begun.began_us = stretches.began_us
),

spared as (
    select
        meter_id,
        span_number,
        instance_id,
        began_us,
        bool_or(is_whole_run) as is_all_unusable,
        sum(greatest(first_after - first_free, 0)) as free_granules
    from bounded
    group by meter_id, span_number, instance_id, began_us
),

-- The minimum is of the whole run; what is missing to it is added where the run ends.
counted as (
    select
        begun.meter_id,
        begun.span_number,
        begun.granularity_us is null as is_measured,
        coalesce(
            (begun.begun_after - begun.begun_before - coalesce(spared.free_granules, 0)) * begun.granularity_us, 0
        ) as granule_us,
        case
            when begun.is_end and not coalesce(spared.is_all_unusable, false)
                then coalesce(
                        (begun.ended_us - begun.began_us + begun.granularity_us - 1)
                        // begun.granularity_us
                        * begun.granularity_us,
                        begun.ended_us - begun.began_us
                    )
        end as ended_run_us,
        begun.minimum_us
    from begun
    left join spared
        on
            begun.instance_id = spared.instance_id
            and begun.meter_id = spared.meter_id
            and begun.span_number = spared.span_number
            and begun.began_us = spared.began_us
),

summed as (
    select
        meter_id,
        span_number,
        is_measured,
        sum(granule_us)
        + sum(case when minimum_us > ended_run_us then minimum_us - ended_run_us else 0 end) as granulated_us
    from counted
    group by meter_id, span_number, is_measured
)

-- A price with a minimum alone counts the time that was measured.
select
    summed.meter_id,
    summed.span_number,
    summed.granulated_us
    + case when summed.is_measured then coalesce(runtime_usage.duration_us, 0) else 0 end as granulated_us
from summed
left join runtime_usage
    on
        summed.meter_id = runtime_usage.meter_id
        and summed.span_number = runtime_usage.span_number
