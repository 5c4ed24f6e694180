with spans as (
    select * from {{ ref('int_price_spans') }}
),

period as (
    select * from {{ ref('stg_run__period') }}
),

chained as (
    select
        spans.price_key_id,
        spans.from_us,
        spans.to_us,
        lag(spans.to_us, 1, period.period_start_us)
            over (partition by spans.price_key_id order by spans.from_us)
            as previous_to_us,
        lead(spans.from_us, 1, period.period_end_us)
            over (partition by spans.price_key_id order by spans.from_us)
            as next_from_us
    from spans
    cross join period
)

select
    price_key_id,
    from_us,
    to_us
from chained
where from_us <> previous_to_us or to_us <> next_from_us
