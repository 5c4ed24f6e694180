with vendor_charges as (
    select * from {{ source('usage', 'vendor_charges') }}
)

select
    -- ids
    source,
    event_id,
    owner_id,
    resource_id,
    file_id,

    -- texts
    resource_name,
    vendor,
    description,
    currency,

    -- numbers
    amount,

    -- instants
    epoch_us(charged_at) as charged_us
from vendor_charges
