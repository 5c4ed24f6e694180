with vendor_charges as (
    select * from {{ ref('stg_usage__vendor_charges') }}
),

contracts as (
    select * from {{ ref('int_contracts') }}
),

period as (
    select * from {{ ref('stg_run__period') }}
),

-- What the vendor charges is passed on as it is: no price factor, no discount.
contracted as (
    select
        vendor_charges.source,
        vendor_charges.event_id,
        vendor_charges.owner_id,
        vendor_charges.resource_id,
        vendor_charges.resource_name,
        vendor_charges.file_id,
        vendor_charges.vendor || ': ' || vendor_charges.description as description,
        vendor_charges.currency,
        vendor_charges.charged_us,
        contracts.payer_id,
        contracts.minor_unit_e26,
        (vendor_charges.amount * 1000000000)::hugeint as amount_e9,
        case
            when contracts.payer_id is null then 'org_unknown'
            when contracts.minor_unit_e26 is null or vendor_charges.currency <> contracts.currency then 'currency'
        end as reason,
        case
            when contracts.minor_unit_e26 is null or vendor_charges.currency <> contracts.currency
                then 'charged in ' || vendor_charges.currency || ', the payer''s currency is ' || contracts.currency
        end as detail
    from vendor_charges
    left join contracts
        on
            vendor_charges.owner_id = contracts.owner_id
            and vendor_charges.charged_us >= contracts.from_us
            and vendor_charges.charged_us < contracts.to_us
)

select
    left(
        sha256(to_json([period.billing_month, 'vendor', contracted.source, contracted.event_id])::varchar), 32
    ) as line_id,
    contracted.source,
    contracted.event_id,
    contracted.owner_id,
    contracted.resource_id,
    contracted.resource_name,
    contracted.file_id,
    contracted.description,
    contracted.currency,
    contracted.charged_us,
    contracted.payer_id,
    contracted.amount_e9,
    contracted.reason,
    contracted.detail,
    {{ money('amount_e9', '10000', '1000000000', 'minor_unit_e26 // 10000000000000000000000') }} as charge_cents
from contracted
cross join period
