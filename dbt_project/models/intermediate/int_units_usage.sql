with counts as (
    select * from {{ ref('stg_usage__unit_counts') }}
),

meters as (
    select * from {{ ref('int_meters') }}
    where basis = 'units'
),

meter_spans as (
    select * from {{ ref('int_meter_spans') }}
    where basis = 'units'
),

-- The largest value of the month, at the moment it was first reached: that moment's owner and price count.
maxima as (
    select
        meters.series_id,
        counts.meter_id,
        counts.sampled_us,
        counts.counted_units
    from counts
    inner join meters
        on counts.meter_id = meters.meter_id
    where counts.counted_units > 0
    qualify
        row_number() over (partition by meters.series_id order by counts.counted_units desc, counts.sampled_us asc) = 1
)

select
    maxima.series_id,
    maxima.meter_id,
    meter_spans.span_number,
    maxima.counted_units::hugeint as units_max,
    maxima.sampled_us as units_max_us
from maxima
inner join meter_spans
    on
        maxima.meter_id = meter_spans.meter_id
        and maxima.sampled_us >= meter_spans.from_us
        and maxima.sampled_us < meter_spans.to_us
