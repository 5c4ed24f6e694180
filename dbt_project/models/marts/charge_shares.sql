with usage_charges as (
    select * from {{ ref('int_usage_charges') }}
    where is_grouped
),

charges as (
    select * from {{ ref('charges') }}
),

-- At one price the largest amounts are the largest quantities.
ranked as (
    select
        line_id,
        resource_id,
        resource_name,
        billed_quantity,
        row_number() over (partition by line_id order by billed_quantity desc, resource_id asc) as place
    from usage_charges
)

-- Every exact amount lies below one unit, so the largest remainders are the largest amounts, and get one unit each.
select
    ranked.line_id,
    ranked.resource_id,
    ranked.resource_name,
    ranked.billed_quantity::decimal(38, 9) as quantity,
    case when ranked.place <= charges.charge_cents then 1 else 0 end::bigint as share_cents
from ranked
inner join charges
    on ranked.line_id = charges.line_id
