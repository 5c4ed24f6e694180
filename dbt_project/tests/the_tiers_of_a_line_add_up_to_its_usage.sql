-- Where nothing is rounded up to blocks, tiers and what is free neither lose nor invent a second, byte or unit.
with segments as (
    select
        payer_id,
        owner_id,
        resource_id,
        slug,
        zone,
        price_id,
        price_factor_ppm,
        basis,
        coalesce(
            coalesce(granulated_us, duration_us)::hugeint // 1000000, moved_bytes::hugeint, units_max::hugeint
        ) as used_quantity
    from {{ ref('segments') }}
    where basis <> 'stored'
),

lines as (
    select
        payer_id,
        owner_id,
        resource_id,
        slug,
        zone,
        price_id,
        price_factor_ppm,
        basis,
        sum(billed_quantity) + max(free_quantity) as accounted_quantity,
        bool_or(block_size is not null) as has_blocks
    from {{ ref('int_usage_parts') }}
    where basis <> 'stored'
    group by payer_id, owner_id, resource_id, slug, zone, price_id, price_factor_ppm, basis
),

freed_slugs as (
    select distinct slug from {{ ref('stg_accounts__free_quantities') }}
)

select
    segments.owner_id,
    segments.resource_id,
    segments.slug,
    segments.price_id,
    segments.used_quantity,
    lines.accounted_quantity
from segments
left join lines
    on
        segments.payer_id = lines.payer_id
        and segments.owner_id = lines.owner_id
        and segments.resource_id = lines.resource_id
        and segments.slug = lines.slug
        and segments.zone = lines.zone
        and segments.price_id = lines.price_id
        and segments.price_factor_ppm = lines.price_factor_ppm
        and segments.basis = lines.basis
where
    segments.used_quantity > 0
    and (
        (lines.accounted_quantity is null and segments.slug not in (select freed_slugs.slug from freed_slugs))
        or lines.accounted_quantity < segments.used_quantity
        or (lines.accounted_quantity > segments.used_quantity and not lines.has_blocks)
    )
