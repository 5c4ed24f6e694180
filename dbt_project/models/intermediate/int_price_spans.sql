with meters as (
    select * from {{ ref('int_meters') }}
),

contracts as (
    select * from {{ ref('int_contracts') }}
),

price_tiers as (
    select * from {{ ref('stg_accounts__price_tiers') }}
),

refused_prices as (
    select * from {{ ref('stg_accounts__refused_prices') }}
),

organisations as (
    select * from {{ ref('stg_accounts__organisations') }}
),

period as (
    select * from {{ ref('stg_run__period') }}
),

-- Nothing is used after an organisation closed: spans there are no fault of anyone.
closings as (
    select distinct
        owner_id,
        closes_us
    from organisations
),

price_keys as (
    select distinct
        price_key_id,
        basis,
        owner_id,
        slug,
        zone
    from meters
),

price_factors as (
    select distinct price_factor_ppm from contracts
),

-- A version that cannot be used stays in the way of what it was meant to replace.
price_versions as (
    select distinct
        price_id,
        price_factor_ppm,
        owner_id,
        zone,
        currency,
        slug,
        basis,
        valid_from_us,
        valid_to_us,
        null as refused_reason
    from price_tiers
    union all
    select
        refused_prices.price_id,
        price_factors.price_factor_ppm,
        refused_prices.owner_id,
        refused_prices.zone,
        refused_prices.currency,
        refused_prices.slug,
        refused_prices.basis,
        refused_prices.valid_from_us,
        refused_prices.valid_to_us,
        refused_prices.reason as refused_reason
    from refused_prices
    cross join price_factors
),

-- Public and negotiated prices are joined apart, so that many negotiated prices of one slug meet only their owner.
candidates as (
    select
        price_keys.price_key_id,
        price_versions.price_id,
        price_versions.price_factor_ppm,
        price_versions.currency,
        price_versions.valid_from_us,
        price_versions.valid_to_us,
        price_versions.refused_reason,
        false as is_negotiated,
        price_versions.zone is not null as is_zonal
    from price_keys
    inner join price_versions
        on
            price_keys.slug = price_versions.slug
            and price_keys.basis = price_versions.basis
            and (price_versions.zone is null or price_keys.zone = price_versions.zone)
    where price_versions.owner_id is null
    union all
    select
        price_keys.price_key_id,
        price_versions.price_id,
        price_versions.price_factor_ppm,
        price_versions.currency,
        price_versions.valid_from_us,
        price_versions.valid_to_us,
        price_versions.refused_reason,
        true as is_negotiated,
        price_versions.zone is not null as is_zonal
    from price_keys
    inner join price_versions
        on
            price_keys.slug = price_versions.slug
            and price_keys.basis = price_versions.basis
            and price_keys.owner_id = price_versions.owner_id
            and (price_versions.zone is null or price_keys.zone = price_versions.zone)
),

-- Between the end of one version and the start of another a price was forgotten; elsewhere there is none.
told as (
    select
        price_key_id,
        currency,
        min(valid_to_us) as first_ends_us,
        max(valid_from_us) as last_starts_us
    from candidates
    where refused_reason is null
    group by price_key_id, currency
),

cuts as (
    select
        price_keys.price_key_id,
        period.period_start_us as cut_us
    from price_keys
    cross join period
    union
    select
        price_keys.price_key_id,
        unnest([contracts.from_us, contracts.to_us]) as cut_us
    from price_keys
    inner join contracts
        on price_keys.owner_id = contracts.owner_id
    union
    select
        candidates.price_key_id,
        unnest([candidates.valid_from_us, candidates.valid_to_us]) as cut_us
    from candidates
),

pieces as (
    select
        cuts.price_key_id,
        cuts.cut_us as from_us,
        lead(cuts.cut_us, 1, period.period_end_us) over (partition by cuts.price_key_id order by cuts.cut_us) as to_us
    from cuts
    cross join period
    where cuts.cut_us >= period.period_start_us and cuts.cut_us < period.period_end_us
),

-- Negotiated before public; the payer's own currency before others; one zone before any.
ranked as (
    select
        pieces.price_key_id,
        pieces.from_us,
        pieces.to_us,
        contracts.payer_id,
        contracts.price_factor_ppm,
        contracts.currency as payer_currency,
        contracts.minor_unit_e26,
        coalesce(pieces.from_us >= closings.closes_us, false) as is_closed,
        candidates.price_id,
        candidates.currency as price_currency,
        candidates.refused_reason,
        rank() over (
            partition by pieces.price_key_id, pieces.from_us
            order by
                candidates.is_negotiated desc nulls last,
                candidates.currency = contracts.currency desc nulls last,
                candidates.is_zonal desc nulls last
        ) as specificity
    from pieces
    inner join price_keys
        on pieces.price_key_id = price_keys.price_key_id
    left join closings
        on price_keys.owner_id = closings.owner_id
    left join contracts
        on
            price_keys.owner_id = contracts.owner_id
            and pieces.from_us >= contracts.from_us
            and pieces.from_us < contracts.to_us
    left join candidates
        on
            pieces.price_key_id = candidates.price_key_id
            and contracts.price_factor_ppm = candidates.price_factor_ppm
            and pieces.from_us >= candidates.valid_from_us
            and pieces.from_us < candidates.valid_to_us
),

priced as (
    select
        price_key_id,
        from_us,
        to_us,
        payer_id,
        price_factor_ppm,
        payer_currency,
        minor_unit_e26,
        is_closed,
        count(price_id) as equal_prices,
        min(price_id) as price_id,
        arg_min(price_currency, price_id) as price_currency,
        min(price_id || ' (' || refused_reason || ')') as refused_price,
        string_agg(price_id, ', ' order by price_id) as price_ids
    from ranked
    where specificity = 1
    group by price_key_id, from_us, to_us, payer_id, price_factor_ppm, payer_currency, minor_unit_e26, is_closed
),

judged as (
    select
        priced.price_key_id,
        priced.from_us,
        priced.to_us,
        priced.payer_id,
        priced.price_factor_ppm,
        priced.price_id,
        case
            when priced.is_closed then 'after_close'
            when priced.payer_id is null then 'org_unknown'
            when
                priced.price_id is null
                and told.first_ends_us <= priced.from_us
                and told.last_starts_us >= priced.to_us
                then 'price_gap'
            when priced.price_id is null or priced.refused_price is not null then 'price_missing'
            when priced.price_currency <> priced.payer_currency or priced.minor_unit_e26 is null then 'currency'
            when priced.equal_prices > 1 then 'price_overlap'
        end as reason,
        case
            when priced.payer_id is null or priced.price_id is null then null
            when priced.refused_price is not null then 'price ' || priced.refused_price || ' cannot be used'
            when priced.minor_unit_e26 is null then 'the minor unit of ' || priced.payer_currency || ' is not known'
            when priced.price_currency <> priced.payer_currency
                then
                    'price ' || priced.price_id || ' is in ' || priced.price_currency
                    || ', the payer''s currency is ' || priced.payer_currency
            when priced.equal_prices > 1 then 'prices ' || priced.price_ids || ' are equally specific'
        end as detail
    from priced
    left join told
        on
            priced.price_key_id = told.price_key_id
            and priced.payer_currency = told.currency
),

-- Neighbours with the same outcome are one span.
compared as (
    select
        *,
        row(payer_id, price_factor_ppm, price_id, reason, detail) as outcome,
        lag(outcome) over (partition by price_key_id order by from_us) as previous_outcome
    from judged
),

numbered as (
    select
        *,
        count(*) filter (where outcome is distinct from previous_outcome) over (
            partition by price_key_id
            order by from_us
            rows between unbounded preceding and current row
        ) as span_number
    from compared
)

select
    price_key_id,
    span_number,
    payer_id,
    price_factor_ppm,
    price_id,
    -- All that one payer uses at one price.
    dense_rank() over (order by payer_id, price_id, price_factor_ppm) as tariff_id,
    reason,
    detail,
    min(from_us) as from_us,
    max(to_us) as to_us
from numbered
group by price_key_id, span_number, payer_id, price_factor_ppm, price_id, reason, detail
