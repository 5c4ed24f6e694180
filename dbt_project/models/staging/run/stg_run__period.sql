with periods as (
    select * from {{ source('run', 'run_period') }}
)

select
    billing_month,
    period_start_us,
    period_end_us
from periods
