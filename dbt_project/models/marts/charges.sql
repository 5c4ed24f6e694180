with usage_charges as (
    select * from {{ ref('int_usage_charges') }}
),

one_shot_charges as (
    select * from {{ ref('int_one_shot_charges') }}
),

period as (
    select * from {{ ref('stg_run__period') }}
),

lines as (
    select
        line_id,
        payer_id,
        owner_id,
        resource_id,
        resource_name,
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
    from usage_charges
    union all
    select
        line_id,
        payer_id,
        owner_id,
        event_id as resource_id,
        null as resource_name,
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
    where reason is null
)

select
    -- ids
    lines.line_id,
    lines.payer_id,
    lines.owner_id,
    lines.resource_id,
    lines.resource_name,

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
