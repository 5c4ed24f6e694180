with one_shots as (
    select * from {{ source('usage', 'one_shots') }}
)

select
    -- ids
    source,
    event_id,
    owner_id,
    file_id,
    document,

    -- texts
    description,
    sub_description,
    currency,

    -- numbers
    quantity,
    unit_price,
    discount_ppm,
    is_recurring,

    -- instants
    epoch_us(performed_at) as performed_us
from one_shots
