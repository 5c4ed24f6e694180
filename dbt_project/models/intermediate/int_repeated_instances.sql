with intervals as (
    select * from {{ ref('stg_usage__runtime_intervals') }}
)

-- A 64-bit hash only nominates: the few rows it names are decided on their full text in int_united_runs.
select hash(instance_id) as instance_hash
from intervals
group by hash(instance_id)
having count(*) > 1
