with one_shots as (
    select * from {{ ref('stg_usage__one_shots') }}
),

contracts as (
    select * from {{ ref('int_contracts') }}
),

period as (
    select * from {{ ref('stg_run__period') }}
),

-- The price factor and the discount are millionths, the unit price has nine decimals: together they reach scale 21.
contracted as (
    select
        one_shots.source,
        one_shots.event_id,
        one_shots.owner_id,
        one_shots.file_id,
        one_shots.description,
        one_shots.sub_description,
        one_shots.currency,
        one_shots.is_recurring,
        one_shots.quantity,
        one_shots.discount_ppm,
        one_shots.performed_us,
        contracts.payer_id,
        contracts.price_factor_ppm,
        contracts.minor_unit_e26,
        (one_shots.quantity * 1000000000)::hugeint as quantity_e9,
        (one_shots.unit_price * 1000000000)::hugeint * contracts.price_factor_ppm as price_e15,
        (one_shots.unit_price * 1000000000)::hugeint
        * contracts.price_factor_ppm
        * (1000000 - one_shots.discount_ppm) as price_e21,
        case
            when contracts.payer_id is null then 'org_unknown'
            when contracts.minor_unit_e26 is null or one_shots.currency <> contracts.currency then 'currency'
        end as reason,
        case
            when contracts.minor_unit_e26 is null or one_shots.currency <> contracts.currency
                then 'charged in ' || one_shots.currency || ', the payer''s currency is ' || contracts.currency
        end as detail
    from one_shots
    left join contracts
        on
            one_shots.owner_id = contracts.owner_id
            and one_shots.performed_us >= contracts.from_us
            and one_shots.performed_us < contracts.to_us
)

select
    left(
        sha256(to_json([period.billing_month, contracted.source, contracted.event_id])::varchar), 32
    ) as line_id,
    contracted.source,
    contracted.event_id,
    contracted.owner_id,
    contracted.file_id,
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
