with organisations as (
    select * from {{ ref('stg_accounts__organisations') }}
),

currencies as (
    select * from {{ ref('stg_run__currencies') }}
)

select
    owners.owner_id,
    owners.payer_id,
    owners.price_factor_ppm,
    payers.currency,
    currencies.minor_unit_e26,
    greatest(owners.valid_from_us, payers.valid_from_us) as from_us,
    -- A closed organisation uses nothing any more; what it pays for others goes on.
    least(owners.valid_to_us, payers.valid_to_us, owners.closes_us) as to_us
from organisations as owners
inner join organisations as payers
    on
        owners.payer_id = payers.owner_id
        and owners.valid_from_us < payers.valid_to_us
        and owners.valid_to_us > payers.valid_from_us
left join currencies
    on payers.currency = currencies.currency
where owners.closes_us > greatest(owners.valid_from_us, payers.valid_from_us)
