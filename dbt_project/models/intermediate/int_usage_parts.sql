with segments as (
    select * from {{ ref('segments') }}
),

price_tiers as (
    select * from {{ ref('stg_accounts__price_tiers') }}
),

free_quantities as (
    select * from {{ ref('stg_accounts__free_quantities') }}
),

free_by_slug as (
    select
        slug,
        currency,
        map_from_entries(list((owner_id, free_quantity)) filter (owner_id is not null)) as free_by_owner,
        max(free_quantity) filter (owner_id is null) as free_quantity
    from free_quantities
    group by slug, currency
),

-- What is free is looked up per price, of which there are few, so that the many segments are joined once.
offers as (
    select
        price_tiers.*,
        free_by_slug.free_by_owner,
        free_by_slug.free_quantity
    from price_tiers
    left join free_by_slug
        on
            price_tiers.slug = free_by_slug.slug
            and price_tiers.currency = free_by_slug.currency
),

-- Whole seconds are taken here, once per line. What is free is an owner's own, or its payer's, or everybody's.
measured as (
    select
        segments.payer_id,
        segments.owner_id,
        segments.resource_id,
        segments.resource_name,
        segments.slug,
        segments.zone,
        segments.basis,
        segments.price_id,
        segments.price_factor_ppm,
        offers.currency,
        offers.tier_from,
        offers.tier_to,
        offers.tier_mode,
        offers.per_quantity,
        offers.per_seconds,
        offers.unit_price_e26,
        offers.tier_price_e26,
        segments.duration_us::hugeint // 1000000 as duration_s,
        case segments.basis
            when 'runtime' then coalesce(segments.granulated_us, segments.duration_us)::hugeint // 1000000
            when 'stored'
                then coalesce(
                        segments.block_us::hugeint // 1000000 * offers.block_quantity,
                        segments.part_byte_us::hugeint // 1000000
                    )
            when 'moved' then segments.moved_bytes::hugeint
            when 'units' then segments.units_max::hugeint
        end as quantity,
        case segments.basis
            when 'runtime' then offers.block_seconds
            when 'moved' then offers.block_quantity
            when 'units' then offers.block_quantity
        end as block_size,
        case
            when segments.basis <> 'stored'
                then coalesce(
                        offers.free_by_owner[segments.owner_id],
                        offers.free_by_owner[segments.payer_id],
                        offers.free_quantity,
                        0
                    )
        end as free_quantity
    from segments
    inner join offers
        on
            segments.price_id = offers.price_id
            and segments.price_factor_ppm = offers.price_factor_ppm
            and (segments.tier_from is null or segments.tier_from::hugeint = offers.tier_from)
),

-- Units are numbered from 1, so a tier from 101 starts with the 101st; measured quantities are lengths from 0.
-- The last tier has no end: `least` passes over a null. The first units are free; the others keep their places.
parted as (
    select
        *,
        case
            when basis = 'stored' then quantity
            when tier_mode = 'slab' and (quantity < tier_from or quantity >= tier_to) then 0
            when tier_mode in ('flat', 'package', 'slab') then quantity - free_quantity
            when basis = 'units'
                then least(quantity, tier_to - 1) - greatest(tier_from - 1, free_quantity)
            else least(quantity, tier_to) - greatest(tier_from, free_quantity)
        end as part
    from measured
)

select
    payer_id,
    owner_id,
    resource_id,
    resource_name,
    slug,
    zone,
    basis,
    price_id,
    price_factor_ppm,
    currency,
    tier_from,
    tier_mode,
    per_quantity,
    per_seconds,
    unit_price_e26,
    tier_price_e26,
    block_size,
    free_quantity,
    case
        when basis = 'runtime' and tier_mode = 'graduated'
            then greatest(least(duration_s, tier_to) - greatest(tier_from, free_quantity), 0)
        when basis in ('runtime', 'stored') then duration_s
    end as duration_s,
    coalesce((part + block_size - 1) // block_size * block_size, part) as billed_quantity
from parted
where part > 0
