with intervals as (
    select * from {{ ref('stg_usage__runtime_intervals') }}
),

heartbeat_runs as (
    select * from {{ ref('int_heartbeat_runs') }}
),

following_intervals as (
    select * from {{ ref('stg_usage__following_intervals') }}
),

earlier_runs as (
    select * from {{ ref('int_earlier_runs') }}
),

unusable_intervals as (
    select * from {{ ref('stg_usage__unusable_intervals') }}
),

unusable_conflicts as (
    select * from {{ ref('stg_usage__unusable_conflicts') }}
)

-- A 64-bit hash only nominates: the few rows it names are decided on their full text in int_united_runs.
select hash(instance_id) as instance_hash
from intervals
group by hash(instance_id)
having count(*) > 1
union
select hash(instance_id) as instance_hash
from unusable_intervals
union
select hash(instance_id) as instance_hash
from unusable_conflicts
union
select hash(instance_id) as instance_hash
from heartbeat_runs
union
select hash(instance_id) as instance_hash
from earlier_runs
union
select hash(instance_id) as instance_hash
from following_intervals
