select
    owner_id,
    reason,
    overlapped_us
from {{ ref('overlapped_time') }}
