with meters as (
    select * from {{ ref('stg_usage__meters') }}
)

select
    basis,
    meter_id,
    owner_id,
    resource_id,
    resource_name,
    slug,
    zone,
    -- What a price is looked up by.
    dense_rank() over (order by basis, owner_id, slug, zone) as price_key_id,
    -- What a sampled value holds for, whoever owns it at the moment.
    dense_rank() over (order by basis, resource_id, slug) as series_id
from meters
