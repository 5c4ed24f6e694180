with limits as (
    select * from {{ source('run', 'heartbeat_limits') }}
)

select
    source,
    nominal_us,
    gap_us
from limits
