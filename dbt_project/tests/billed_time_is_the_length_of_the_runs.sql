-- Every microsecond of every disjoint run falls into exactly one price span.
with runs as (
    select sum(epoch_us(stopped_at) - epoch_us(started_at)) as run_us
    from {{ ref('runs') }}
),

usage as (
    select sum(duration_us) as used_us
    from {{ ref('int_runtime_usage') }}
)

select
    runs.run_us,
    usage.used_us
from runs
cross join usage
where runs.run_us is distinct from usage.used_us
