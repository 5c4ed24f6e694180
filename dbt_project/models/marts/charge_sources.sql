with usage_charges as (
    select * from {{ ref('int_usage_charges') }}
),

meter_spans as (
    select * from {{ ref('int_meter_spans') }}
),

runtime_files as (
    select * from {{ ref('int_runtime_files') }}
),

heartbeat_files as (
    select * from {{ ref('int_heartbeat_files') }}
),

stored_usage as (
    select * from {{ ref('int_stored_usage') }}
),

moved_usage as (
    select * from {{ ref('int_moved_usage') }}
),

units_files as (
    select * from {{ ref('int_units_files') }}
),

one_shots as (
    select * from {{ ref('int_one_shot_charges') }}
),

vendor_charges as (
    select * from {{ ref('int_vendor_charges') }}
),

files as (
    select
        'runtime' as basis,
        'runtime_intervals' as feed,
        meter_id,
        span_number,
        file_id,
        source_rows
    from runtime_files
    union all by name
    select
        'runtime' as basis,
        'runtime_heartbeats' as feed,
        meter_id,
        span_number,
        file_id,
        source_rows
    from heartbeat_files
    union all by name
    select
        'stored' as basis,
        'storage_samples' as feed,
        meter_id,
        span_number,
        tier_from,
        file_id,
        source_rows
    from stored_usage
    union all by name
    select
        'moved' as basis,
        'traffic_deltas' as feed,
        meter_id,
        span_number,
        file_id,
        source_rows
    from moved_usage
    union all by name
    select
        'units' as basis,
        'unit_counts' as feed,
        meter_id,
        span_number,
        file_id,
        source_rows
    from units_files
),

metered_lines as (
    select
        usage_charges.line_id,
        usage_charges.tier_from,
        meter_spans.basis,
        meter_spans.meter_id,
        meter_spans.span_number
    from usage_charges
    inner join meter_spans
        on
            usage_charges.basis = meter_spans.basis
            and usage_charges.payer_id = meter_spans.payer_id
            and usage_charges.owner_id = meter_spans.owner_id
            and usage_charges.resource_id = meter_spans.resource_id
            and usage_charges.slug = meter_spans.slug
            and usage_charges.zone = meter_spans.zone
            and usage_charges.price_id = meter_spans.price_id
            and usage_charges.price_factor_ppm = meter_spans.price_factor_ppm
),

-- A sample knows its tier; other events made every tier of their line.
usage_files as (
    select
        metered_lines.line_id,
        files.feed,
        files.file_id,
        files.source_rows
    from files
    inner join metered_lines
        on
            files.basis = metered_lines.basis
            and files.meter_id = metered_lines.meter_id
            and files.span_number = metered_lines.span_number
            and (files.tier_from is null or files.tier_from = metered_lines.tier_from)
),

one_shot_files as (
    select
        line_id,
        'one_shots' as feed,
        file_id,
        1 as source_rows
    from one_shots
    where reason is null
),

vendor_files as (
    select
        line_id,
        'vendor_charges' as feed,
        file_id,
        1 as source_rows
    from vendor_charges
    where reason is null
),

line_files as (
    select * from usage_files
    union all
    select * from one_shot_files
    union all
    select * from vendor_files
)

select
    line_id,
    feed,
    file_id,
    sum(source_rows)::bigint as source_rows
from line_files
group by line_id, feed, file_id
