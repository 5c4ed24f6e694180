with spend_rules as (
    select * from {{ source('accounts', 'spend_rules') }}
),

free_quantities as (
    select
        owner_id,
        slug,
        currency,
        quantity::hugeint as free_quantity
    from spend_rules
    where kind::varchar = 'free_quantity'
)

-- Several equally specific ones park who is concerned; one of them keeps its line one line until then.
select
    owner_id,
    slug,
    currency,
    max(free_quantity) as free_quantity
from free_quantities
group by owner_id, slug, currency
