with runtime_usage as (
    select * from {{ ref('int_runtime_usage') }}
),

stored_usage as (
    select * from {{ ref('int_stored_usage') }}
),

moved_usage as (
    select * from {{ ref('int_moved_usage') }}
),

units_usage as (
    select * from {{ ref('int_units_usage') }}
),

meter_spans as (
    select * from {{ ref('int_meter_spans') }}
),

conflicts as (
    select * from {{ ref('int_instance_conflicts') }}
),

owner_conflicts as (
    select * from {{ ref('int_owner_conflicts') }}
),

unusable_conflicts as (
    select * from {{ ref('stg_usage__unusable_conflicts') }}
),

united_runs as (
    select * from {{ ref('int_united_runs') }}
),

meters as (
    select * from {{ ref('int_meters') }}
    where basis = 'runtime'
),

one_shot_charges as (
    select * from {{ ref('int_one_shot_charges') }}
),

vendor_charges as (
    select * from {{ ref('int_vendor_charges') }}
),

contracts as (
    select * from {{ ref('int_contracts') }}
),

used_spans as (
    select
        'runtime' as basis,
        meter_id,
        span_number
    from runtime_usage
    union
    select
        'stored' as basis,
        meter_id,
        span_number
    from stored_usage
    union
    select
        'moved' as basis,
        meter_id,
        span_number
    from moved_usage
    union
    select
        'units' as basis,
        meter_id,
        span_number
    from units_usage
),

unpriced as (
    select
        meter_spans.owner_id,
        meter_spans.payer_id,
        meter_spans.reason,
        meter_spans.slug || ' in ' || meter_spans.zone as place,
        meter_spans.from_us as at_us,
        meter_spans.detail
    from used_spans
    inner join meter_spans
        on
            used_spans.basis = meter_spans.basis
            and used_spans.meter_id = meter_spans.meter_id
            and used_spans.span_number = meter_spans.span_number
    -- What is used after closing is refused before rating, and what was used before ends there.
    where meter_spans.reason <> 'after_close'
),

uncharged as (
    select
        owner_id,
        payer_id,
        reason,
        'one_shot ' || source || ' ' || event_id as place,
        performed_us as at_us,
        detail
    from one_shot_charges
    where reason is not null
    union all
    select
        owner_id,
        payer_id,
        reason,
        'vendor charge ' || source || ' ' || event_id as place,
        charged_us as at_us,
        detail
    from vendor_charges
    where reason is not null
),

-- Both sides of a conflict are concerned.
conflict_sides as (
    select
        instance_id,
        overlaps_from_us,
        unnest([meter_id, other_meter_id]) as meter_id,
        unnest([other_meter_id, meter_id]) as other_meter_id
    from conflicts
),

conflicting as (
    select
        meters.owner_id,
        contracts.payer_id,
        case when meters.owner_id = others.owner_id then 'overlap_flavour' else 'owner_conflict' end as reason,
        meters.slug || ' in ' || meters.zone as place,
        conflict_sides.overlaps_from_us as at_us,
        'instance ' || conflict_sides.instance_id || ' runs as ' || others.slug || ' in ' || others.zone
        || ' of ' || others.resource_id || ' at the same time' as detail
    from conflict_sides
    inner join meters
        on conflict_sides.meter_id = meters.meter_id
    inner join meters as others
        on conflict_sides.other_meter_id = others.meter_id
    left join contracts
        on
            meters.owner_id = contracts.owner_id
            and conflict_sides.overlaps_from_us >= contracts.from_us
            and conflict_sides.overlaps_from_us < contracts.to_us
),

owner_sides as (
    select
        basis,
        resource_id,
        overlaps_from_us,
        unnest([owner_id, other_owner_id]) as owner_id,
        unnest([other_owner_id, owner_id]) as other_owner_id
    from owner_conflicts
),

claimed as (
    select
        owner_sides.owner_id,
        contracts.payer_id,
        'owner_conflict' as reason,
        'resource ' || owner_sides.resource_id as place,
        owner_sides.overlaps_from_us as at_us,
        case owner_sides.basis when 'runtime' then 'it runs' else 'bytes move' end
        || ' for ' || owner_sides.other_owner_id || ' at the same time' as detail
    from owner_sides
    left join contracts
        on
            owner_sides.owner_id = contracts.owner_id
            and owner_sides.overlaps_from_us >= contracts.from_us
            and owner_sides.overlaps_from_us < contracts.to_us
),

-- Whose faults contradict each other cannot be told what was usable.
contradicted as (
    select
        meters.owner_id,
        contracts.payer_id,
        'event_conflict' as reason,
        'instance ' || united_runs.instance_id || ' as ' || meters.slug || ' in ' || meters.zone as place,
        united_runs.started_us as at_us,
        unusable_conflicts.detail
    from unusable_conflicts
    inner join united_runs
        on unusable_conflicts.instance_id = united_runs.instance_id
    inner join meters
        on united_runs.meter_id = meters.meter_id
    left join contracts
        on
            meters.owner_id = contracts.owner_id
            and united_runs.started_us >= contracts.from_us
            and united_runs.started_us < contracts.to_us
),

found as (
    select * from unpriced
    union all by name
    select * from uncharged
    union all by name
    select * from conflicting
    union all by name
    select * from claimed
    union all by name
    select * from contradicted
),

known_payers as (
    select distinct
        owner_id,
        payer_id
    from contracts
),

-- Where no contract was in force, every payer that the owner has in the month is concerned.
concerned as (
    select
        found.owner_id,
        coalesce(found.payer_id, known_payers.payer_id) as payer_id,
        found.reason,
        found.place || ' from ' || strftime(make_timestamp(found.at_us), '%Y-%m-%dT%H:%M:%SZ')
        || coalesce(' (' || found.detail || ')', '') as occurrence
    from found
    left join known_payers
        on
            found.owner_id = known_payers.owner_id
            and found.payer_id is null
),

summarised as (
    select
        owner_id,
        payer_id,
        reason,
        min(occurrence) as first_occurrence,
        count(distinct occurrence) - 1 as more_occurrences
    from concerned
    group by owner_id, payer_id, reason
)

select
    owner_id,
    payer_id,
    reason,
    first_occurrence
    || case when more_occurrences > 0 then ' and ' || more_occurrences || ' more' else '' end as detail
from summarised
