with usage_parts as (
    select * from {{ ref('int_usage_parts') }}
),

currencies as (
    select * from {{ ref('stg_run__currencies') }}
),

period as (
    select * from {{ ref('stg_run__period') }}
),

-- A package costs its tier price per started block; otherwise the tier price is paid once, on entering the tier.
priced as (
    select
        usage_parts.payer_id,
        usage_parts.owner_id,
        usage_parts.resource_id,
        usage_parts.resource_name,
        usage_parts.slug,
        usage_parts.zone,
        usage_parts.basis,
        usage_parts.price_id,
        usage_parts.price_factor_ppm,
        usage_parts.tier_from,
        usage_parts.currency,
        usage_parts.billed_quantity,
        usage_parts.duration_s,
        currencies.minor_unit_e26,
        usage_parts.per_seconds,
        case usage_parts.tier_mode
            when 'package' then usage_parts.block_size
            else usage_parts.per_quantity
        end as per_quantity,
        case usage_parts.tier_mode
            when 'package' then usage_parts.tier_price_e26
            else usage_parts.unit_price_e26
        end as price_e26,
        case usage_parts.tier_mode
            when 'package' then 0::hugeint
            else usage_parts.tier_price_e26
        end as entry_price_e26
    from usage_parts
    inner join currencies
        on usage_parts.currency = currencies.currency
)

-- The line key is a JSON list, so that no id can be written to look like two others.
select
    left(
        sha256(
            to_json([
                period.billing_month,
                priced.payer_id,
                priced.owner_id,
                priced.resource_id,
                priced.slug,
                priced.zone,
                priced.price_id,
                priced.price_factor_ppm::varchar,
                priced.tier_from::varchar
            ])::varchar
        ),
        32
    ) as line_id,
    priced.payer_id,
    priced.owner_id,
    priced.resource_id,
    priced.resource_name,
    priced.slug,
    priced.zone,
    priced.basis,
    priced.price_id,
    priced.price_factor_ppm,
    priced.tier_from,
    priced.currency,
    priced.billed_quantity,
    priced.duration_s,
    priced.per_quantity,
    priced.per_seconds,
    priced.price_e26,
    {{ money(
        'billed_quantity',
        'price_e26',
        'per_quantity::hugeint * per_seconds',
        'minor_unit_e26',
        'entry_price_e26'
    ) }} as charge_cents
from priced
cross join period
