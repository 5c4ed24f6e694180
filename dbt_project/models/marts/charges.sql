with usage_charges as (
    select * from {{ ref('int_usage_charges') }}
),

one_shot_charges as (
    select * from {{ ref('int_one_shot_charges') }}
),

vendor_charges as (
    select * from {{ ref('int_vendor_charges') }}
),

period as (
    select * from {{ ref('stg_run__period') }}
),

-- Resources that share a line: quantities are added, and the amount is rounded once.
shared_lines as (
    select
        line_id,
        payer_id,
        owner_id,
        slug,
        zone,
        price_id,
        price_factor_ppm,
        tier_from,
        basis,
        currency,
        minor_unit_e26,
        per_quantity,
        per_seconds,
        price_e26,
        count(*) as resources,
        sum(billed_quantity) as billed_quantity,
        sum(duration_s) as duration_s,
        sum(entry_price_e26) as entry_price_e26
    from usage_charges
    where is_grouped
    group by
        line_id,
        payer_id,
        owner_id,
        slug,
        zone,
        price_id,
        price_factor_ppm,
        tier_from,
        basis,
        currency,
        minor_unit_e26,
        per_quantity,
        per_seconds,
        price_e26
),

usage_lines as (
    select
        line_id,
        payer_id,
        owner_id,
        resource_id,
        resource_name,
        1 as resources,
        slug,
        zone,
        price_id,
        price_factor_ppm,
        tier_from,
        basis,
        billed_quantity,
        duration_s,
        price_e26,
        per_quantity,
        per_seconds,
        charge_cents,
        currency
    from usage_charges
    where not is_grouped
    union all
    select
        line_id,
        payer_id,
        owner_id,
        '' as resource_id,
        null as resource_name,
        resources,
        slug,
        zone,
        price_id,
        price_factor_ppm,
        tier_from,
        basis,
        billed_quantity,
        duration_s,
        price_e26,
        per_quantity,
        per_seconds,
        {{ money(
            'billed_quantity',
            'price_e26',
            'per_quantity::hugeint * per_seconds',
            'minor_unit_e26',
            'entry_price_e26'
        ) }} as charge_cents,
        currency
    from shared_lines
),

lines as (
    select
        line_id,
        payer_id,
        owner_id,
        resource_id,
        resource_name,
        resources,
        slug,
        zone,
        price_id,
        price_factor_ppm,
        tier_from,
        basis,
        billed_quantity::decimal(38, 9) as quantity,
        case basis when 'runtime' then 's' when 'stored' then 'byte_s' when 'moved' then 'byte' else 'unit' end as unit,
        duration_s,
        -- Twenty decimals are printed; half away from zero.
        (price_e26 + 500000) // 1000000 as unit_price_e20,
        per_quantity,
        per_seconds,
        0 as discount_ppm,
        charge_cents,
        currency,
        true as is_recurring,
        null as description,
        null as sub_description
    from usage_lines
    union all
    select
        line_id,
        payer_id,
        owner_id,
        event_id as resource_id,
        null as resource_name,
        1 as resources,
        'one_shot' as slug,
        '' as zone,
        null as price_id,
        price_factor_ppm,
        null as tier_from,
        'one_shot' as basis,
        quantity,
        'piece' as unit,
        null as duration_s,
        price_e15 * 100000 as unit_price_e20,
        1 as per_quantity,
        1 as per_seconds,
        discount_ppm,
        charge_cents,
        currency,
        is_recurring,
        description,
        sub_description
    from one_shot_charges
    where reason is null and document = 'monthly'
    union all
    select
        line_id,
        payer_id,
        owner_id,
        resource_id,
        resource_name,
        1 as resources,
        'vendor' as slug,
        '' as zone,
        null as price_id,
        1000000 as price_factor_ppm,
        null as tier_from,
        'vendor' as basis,
        1 as quantity,
        'piece' as unit,
        null as duration_s,
        amount_e9 * 100000000000 as unit_price_e20,
        1 as per_quantity,
        1 as per_seconds,
        0 as discount_ppm,
        charge_cents,
        currency,
        true as is_recurring,
        description,
        null as sub_description
    from vendor_charges
    where reason is null
)

select
    -- ids
    lines.line_id,
    lines.payer_id,
    lines.owner_id,
    lines.resource_id,
    lines.resource_name,
    lines.resources::bigint as resources,

    -- price
    lines.slug,
    lines.zone,
    lines.price_id,
    lines.price_factor_ppm,
    lines.tier_from::decimal(38, 0) as tier_from,
    period.billing_month as origin_month,
    lines.basis,

    -- quantity
    lines.quantity,
    lines.unit,
    lines.duration_s::bigint as duration_s,

    -- money
    lines.unit_price_e20::decimal(38, 0) * 0.00000000000000000001 as unit_price,
    lines.per_quantity,
    lines.per_seconds,
    lines.discount_ppm::bigint as line_discount_ppm,
    lines.charge_cents,
    lines.currency,
    lines.is_recurring,

    -- texts
    lines.description,
    lines.sub_description
from lines
cross join period
