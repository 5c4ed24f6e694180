with unusable_parts as (
    select * from {{ ref('int_unusable_parts') }}
),

meter_spans as (
    select * from {{ ref('int_meter_spans') }}
    where basis = 'runtime'
)

select
    unusable_parts.meter_id,
    meter_spans.span_number,
    unusable_parts.instance_id,
    greatest(unusable_parts.from_us, meter_spans.from_us) as started_us,
    least(unusable_parts.to_us, meter_spans.to_us) as stopped_us,
    unusable_parts.reason
from unusable_parts
inner join meter_spans
    on
        unusable_parts.meter_id = meter_spans.meter_id
        and unusable_parts.from_us < meter_spans.to_us
        and unusable_parts.to_us > meter_spans.from_us
