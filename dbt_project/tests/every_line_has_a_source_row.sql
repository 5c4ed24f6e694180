with charges as (
    select * from {{ ref('charges') }}
),

sources as (
    select * from {{ ref('charge_sources') }}
)

select charges.line_id
from charges
anti join sources
    on charges.line_id = sources.line_id
