with meters as (
    select * from {{ ref('int_meters') }}
    where basis = 'runtime'
)

select
    meter_id,
    owner_id,
    resource_id,
    resource_name,
    slug,
    zone
from meters
