with intervals as (
    select * from {{ source('usage', 'unusable_intervals') }}
)

select
    instance_id,
    started_us,
    stopped_us,
    reason
from intervals
where started_us < stopped_us
