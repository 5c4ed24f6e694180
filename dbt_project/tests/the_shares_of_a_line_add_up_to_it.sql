with charges as (
    select * from {{ ref('charges') }}
),

shares as (
    select
        line_id,
        count(*) as resources,
        sum(quantity) as quantity,
        sum(share_cents) as share_cents
    from {{ ref('charge_shares') }}
    group by line_id
)

select
    charges.line_id,
    charges.resources,
    charges.charge_cents,
    shares.share_cents
from charges
full outer join shares
    on charges.line_id = shares.line_id
where
    (charges.resources > 1 or shares.line_id is not null)
    and (
        charges.resources is distinct from shares.resources
        or charges.quantity is distinct from shares.quantity
        or charges.charge_cents is distinct from shares.share_cents
    )
