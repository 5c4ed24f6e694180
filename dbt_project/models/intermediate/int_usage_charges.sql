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
),

rounded as (
    select
        *,
        {{ money(
            'billed_quantity',
            'price_e26',
            'per_quantity::hugeint * per_seconds',
            'minor_unit_e26',
            'entry_price_e26'
        ) }} as charge_cents
    from priced
),

-- Whether the exact amount is above nothing and below one minor unit; what is rounded to more needs no second look.
judged as (
    select
        *,
        case
            when charge_cents > 1 or (price_e26 = 0 and entry_price_e26 = 0) then false
            when charge_cents = 0 then true
            else {{ whole_units(
                'billed_quantity',
                'price_e26',
                'per_quantity::hugeint * per_seconds',
                'minor_unit_e26',
                'entry_price_e26'
            ) }} = 0
        end as is_small
    from rounded
),

small_groups as (
    select
        payer_id,
        owner_id,
        slug,
        zone,
        price_id,
        price_factor_ppm,
        tier_from
    from judged
    where is_small
    group by payer_id, owner_id, slug, zone, price_id, price_factor_ppm, tier_from
    having count(*) > 1
),

grouped as (
    select
        judged.*,
        small_groups.payer_id is not null as is_grouped
    from judged
    left join small_groups
        on
            judged.is_small
            and judged.payer_id = small_groups.payer_id
            and judged.owner_id = small_groups.owner_id
            and judged.slug = small_groups.slug
            and judged.zone = small_groups.zone
            and judged.price_id = small_groups.price_id
            and judged.price_factor_ppm = small_groups.price_factor_ppm
            and judged.tier_from = small_groups.tier_from
)

-- The line key is a JSON list, so that no id can be written to look like two others. A line of several resources has
-- the key of a resource without an id, which no resource is.
select
    left(
        sha256(
            to_json([
                period.billing_month,
                grouped.payer_id,
                grouped.owner_id,
                case when grouped.is_grouped then '' else grouped.resource_id end,
                grouped.slug,
                grouped.zone,
                grouped.price_id,
                grouped.price_factor_ppm::varchar,
                grouped.tier_from::varchar
            ])::varchar
        ),
        32
    ) as line_id,
    grouped.is_grouped,
    grouped.payer_id,
    grouped.owner_id,
    grouped.resource_id,
    grouped.resource_name,
    grouped.slug,
    grouped.zone,
    grouped.basis,
    grouped.price_id,
    grouped.price_factor_ppm,
    grouped.tier_from,
    grouped.currency,
    grouped.minor_unit_e26,
    grouped.billed_quantity,
    grouped.duration_s,
    grouped.per_quantity,
    grouped.per_seconds,
    grouped.price_e26,
    grouped.entry_price_e26,
    grouped.charge_cents
from grouped
cross join period
