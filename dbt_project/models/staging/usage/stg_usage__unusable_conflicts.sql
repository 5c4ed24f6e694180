with conflicts as (
    select * from {{ source('usage', 'unusable_conflicts') }}
)

select
    instance_id,
    detail
from conflicts
