with one_shots as (
    select * from {{ ref('stg_usage__one_shots') }}
),

contracts as (
    select * from {{ ref('int_contracts') }}
),

period as (
    select * from {{ ref('stg_run__period') }}
),

-- Credits are sold for what they are worth, whatever the contract's price factor is.
factored as (
    select
        one_shots.*,
        contracts.payer_id,
        contracts.minor_unit_e26,
        contracts.currency as payer_currency,
        case when one_shots.document = 'credits' then 1000000 else contracts.price_factor_ppm end as price_factor_ppm
    from one_shots
    left join contracts
        on
            one_shots.owner_id = contracts.owner_id
            and one_shots.performed_us >= contracts.from_us
            and one_shots.performed_us < contracts.to_us
),

-- The price factor and the discount are millionths, the unit price has nine decimals: together they reach scale 21.
contracted as (
    select
        source,
        event_id,
        owner_id,
        file_id,
        document,
        description,
        sub_description,
        currency,
        is_recurring,
        quantity,
        discount_ppm,
        performed_us,
        payer_id,
        price_factor_ppm,
        minor_unit_e26,
        (quantity * 1000000000)::hugeint as quantity_e9,
        (unit_price * 1000000000)::hugeint * price_factor_ppm as price_e15,
        (unit_price * 1000000000)::hugeint * price_factor_ppm * (1000000 - discount_ppm) as price_e21,
        case
            when payer_id is null then 'org_unknown'
            when minor_unit_e26 is null or currency <> payer_currency then 'currency'
        end as reason,
        case
            when minor_unit_e26 is null or currency <> payer_currency
                then 'charged in ' || currency || ', the payer''s currency is ' || payer_currency
        end as detail
    from factored
)

select
    left(
        sha256(to_json([period.billing_month, contracted.source, contracted.event_id])::varchar), 32
    ) as line_id,
    contracted.source,
    contracted.event_id,
    contracted.owner_id,
    contracted.file_id,
    contracted.document,
    contracted.description,
    contracted.sub_description,
    contracted.currency,
    contracted.is_recurring,
    contracted.quantity,
    contracted.discount_ppm,
    contracted.performed_us,
    contracted.payer_id,
    contracted.price_factor_ppm,
    contracted.price_e15,
    contracted.reason,
    contracted.detail,
    {{ money('quantity_e9', 'price_e21', '1000000000', 'minor_unit_e26 // 100000') }} as charge_cents
from contracted
cross join period
where contracted.quantity <> 0
