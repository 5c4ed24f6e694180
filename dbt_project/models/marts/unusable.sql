with unusable_usage as (
    select * from {{ ref('int_unusable_usage') }}
),

meter_spans as (
    select * from {{ ref('int_meter_spans') }}
    where basis = 'runtime'
)

select
    -- who
    meter_spans.payer_id,
    meter_spans.owner_id,

    -- what
    meter_spans.resource_id,
    meter_spans.resource_name,
    meter_spans.slug,
    meter_spans.zone,
    unusable_usage.instance_id,

    -- when and why
    make_timestamptz(unusable_usage.started_us) as started_at,
    make_timestamptz(unusable_usage.stopped_us) as stopped_at,
    unusable_usage.reason
from unusable_usage
inner join meter_spans
    on
        unusable_usage.meter_id = meter_spans.meter_id
        and unusable_usage.span_number = meter_spans.span_number
-- Before it is known, an organisation has no annex.
where meter_spans.payer_id is not null
