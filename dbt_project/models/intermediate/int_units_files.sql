with counts as (
    select * from {{ ref('stg_usage__unit_counts') }}
),

meters as (
    select * from {{ ref('int_meters') }}
    where basis = 'units'
),

units_usage as (
    select * from {{ ref('int_units_usage') }}
)

-- Every count of a resource took part in finding the largest one.
select
    units_usage.meter_id,
    units_usage.span_number,
    counts.file_id,
    count(*) as source_rows
from counts
inner join meters
    on counts.meter_id = meters.meter_id
inner join units_usage
    on meters.series_id = units_usage.series_id
group by units_usage.meter_id, units_usage.span_number, counts.file_id
