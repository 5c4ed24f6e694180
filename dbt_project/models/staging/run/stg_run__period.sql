with periods as (
    select * from {{ source('run', 'run_period') }}
)

select
    billing_month,
    period_start_us,
    period_end_us,
    -- When its days start, and last when they end.
    day_starts_us,
    -- Heartbeats from here on are seen by the next month, too.
    next_sees_us
from periods
