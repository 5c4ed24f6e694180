with one_shot_charges as (
    select * from {{ ref('int_one_shot_charges') }}
),

period as (
    select * from {{ ref('stg_run__period') }}
)

select
    -- ids
    one_shot_charges.line_id,
    one_shot_charges.payer_id,
    one_shot_charges.owner_id,
    case one_shot_charges.document when 'credits' then 'credits' else 'invoice' end as kind,
    one_shot_charges.source || '/' || one_shot_charges.event_id as reference,
    one_shot_charges.event_id,
    period.billing_month as origin_month,

    -- quantity
    one_shot_charges.quantity,
    make_timestamptz(one_shot_charges.performed_us) as performed_at,

    -- money
    one_shot_charges.price_factor_ppm,
    (one_shot_charges.price_e15 * 100000)::decimal(38, 0) * 0.00000000000000000001 as unit_price,
    one_shot_charges.discount_ppm::bigint as line_discount_ppm,
    one_shot_charges.charge_cents,
    one_shot_charges.currency,

    -- texts
    one_shot_charges.description,
    one_shot_charges.sub_description
from one_shot_charges
cross join period
where one_shot_charges.reason is null and one_shot_charges.document <> 'monthly'
