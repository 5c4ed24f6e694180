with runs as (
    select
        meter_id,
        epoch_us(started_at) as started_us,
        epoch_us(stopped_at) as stopped_us
    from {{ ref('runs') }}
),

stored_values as (
    select * from {{ ref('int_stored_values') }}
),

deltas as (
    select * from {{ ref('stg_usage__traffic_deltas') }}
    where moved_bytes > 0
),

meter_spans as not materialized (
    select * from {{ ref('int_meter_spans') }}
    where reason is null
),

charges as (
    select * from {{ ref('charges') }}
),

one_shot_charges as (
    select * from {{ ref('int_one_shot_charges') }}
),

vendor_charges as (
    select * from {{ ref('int_vendor_charges') }}
),

period as (
    select * from {{ ref('stg_run__period') }}
),

days as (
    select
        number.day_number,
        period.day_starts_us[number.day_number + 1] - period.day_starts_us[number.day_number] as day_us
    from period
    cross join unnest(range(1, len(period.day_starts_us))) as number (day_number)
),

-- Runs are held once. Counted units are billed for the month, so they hold for as long as their price does.
held as (
    select
        meter_spans.tariff_id,
        greatest(runs.started_us, meter_spans.from_us) as from_us,
        least(runs.stopped_us, meter_spans.to_us) as to_us,
        1::hugeint as amount
    from runs
    inner join meter_spans
        on
            meter_spans.basis = 'runtime'
            and runs.meter_id = meter_spans.meter_id
            and runs.started_us < meter_spans.to_us
            and runs.stopped_us > meter_spans.from_us
    union all
    select
        meter_spans.tariff_id,
        greatest(stored_values.from_us, meter_spans.from_us) as from_us,
        least(stored_values.to_us, meter_spans.to_us) as to_us,
        stored_values.stored_bytes as amount
    from stored_values
    inner join meter_spans
        on
            meter_spans.basis = 'stored'
            and stored_values.meter_id = meter_spans.meter_id
            and stored_values.from_us < meter_spans.to_us
            and stored_values.to_us > meter_spans.from_us
    union all
    select
        tariff_id,
        from_us,
        to_us,
        1 as amount
    from meter_spans
    where basis = 'units'
),

numbered as (
    select
        held.tariff_id,
        held.from_us,
        held.to_us,
        held.amount,
        {{ day_number('held.from_us') }} as first_day,
        {{ day_number('held.to_us') }} as last_day
    from held
    cross join period
),

-- What lasts is cut at its first and last day alone, so that a run costs the same however many days it lasts: the first
-- one is given what is left of the day at the start, the last one is relieved of what is left of it at the stop.
changes as (
    select
        numbered.tariff_id,
        numbered.first_day as day_number,
        case when numbered.first_day = numbered.last_day then 0 else numbered.amount end as held,
        numbered.amount * (
            case
                when numbered.first_day = numbered.last_day then numbered.to_us
                else period.day_starts_us[numbered.first_day + 1]
            end
            - numbered.from_us
        ) as quantity
    from numbered
    cross join period
    union all
    select
        numbered.tariff_id,
        numbered.last_day as day_number,
        -numbered.amount as held,
        numbered.amount * (numbered.to_us - period.day_starts_us[numbered.last_day + 1]) as quantity
    from numbered
    cross join period
    where numbered.first_day <> numbered.last_day
),

summed_changes as (
    select
        tariff_id,
        day_number,
        sum(held) as held,
        sum(quantity) as quantity
    from changes
    group by tariff_id, day_number
),

lasting_tariffs as (
    select distinct tariff_id from summed_changes
),

-- What was there when the day began, all day long, and what the day itself brought or took.
lasting_days as (
    select
        lasting_tariffs.tariff_id,
        days.day_number,
        coalesce(summed_changes.quantity, 0)
        + days.day_us * coalesce(
            sum(summed_changes.held) over (
                partition by lasting_tariffs.tariff_id
                order by days.day_number
                rows between unbounded preceding and 1 preceding
            ),
            0
        ) as quantity
    from lasting_tariffs
    cross join days
    left join summed_changes
        on
            lasting_tariffs.tariff_id = summed_changes.tariff_id
            and days.day_number = summed_changes.day_number
),

moved as (
    select
        meter_spans.tariff_id,
        {{ day_number('deltas.counted_us') }} as day_number,
        deltas.moved_bytes
    from deltas
    inner join meter_spans
        on
            meter_spans.basis = 'moved'
            and deltas.meter_id = meter_spans.meter_id
            and deltas.counted_us >= meter_spans.from_us
            and deltas.counted_us < meter_spans.to_us
    cross join period
),

quantities as (
    select
        tariff_id,
        day_number,
        quantity
    from lasting_days
    where quantity > 0
    union all
    select
        tariff_id,
        day_number,
        sum(moved_bytes) as quantity
    from moved
    group by tariff_id, day_number
),

tariffs as (
    select distinct
        tariff_id,
        payer_id,
        split_part(slug, '.', 1) as service,
        price_id,
        price_factor_ppm
    from meter_spans
),

priced_tariffs as (
    select
        tariffs.tariff_id,
        tariffs.payer_id,
        tariffs.service,
        sum(charges.charge_cents) as charge_cents
    from tariffs
    inner join charges
        on
            tariffs.payer_id = charges.payer_id
            and tariffs.price_id = charges.price_id
            and tariffs.price_factor_ppm = charges.price_factor_ppm
    group by tariffs.tariff_id, tariffs.payer_id, tariffs.service
),

totals as (
    select
        tariff_id,
        sum(quantity) as quantity
    from quantities
    group by tariff_id
),

-- A month is about 10^12 parts at most, so that the product fits 128 bits whatever was stored.
shares as (
    select
        priced_tariffs.tariff_id,
        priced_tariffs.payer_id,
        priced_tariffs.service,
        priced_tariffs.charge_cents * 1000000 as weight,
        greatest(totals.quantity // 1000000000000, 1) as part,
        totals.quantity // greatest(totals.quantity // 1000000000000, 1) as parts
    from priced_tariffs
    inner join totals
        on priced_tariffs.tariff_id = totals.tariff_id
    where priced_tariffs.charge_cents > 0
),

weights as (
    select
        shares.payer_id,
        shares.service,
        quantities.day_number,
        shares.weight * (quantities.quantity // shares.part) // shares.parts as weight
    from quantities
    inner join shares
        on quantities.tariff_id = shares.tariff_id
    union all
    select
        one_shot_charges.payer_id,
        'one_shot' as service,
        {{ day_number('one_shot_charges.performed_us') }} as day_number,
        one_shot_charges.charge_cents::hugeint * 1000000 as weight
    from one_shot_charges
    cross join period
    where
        one_shot_charges.reason is null
        and one_shot_charges.document = 'monthly'
        and one_shot_charges.charge_cents > 0
    union all
    select
        vendor_charges.payer_id,
        'vendor' as service,
        {{ day_number('vendor_charges.charged_us') }} as day_number,
        vendor_charges.charge_cents::hugeint * 1000000 as weight
    from vendor_charges
    cross join period
    where vendor_charges.reason is null and vendor_charges.charge_cents > 0
)

select
    weights.payer_id,
    weights.service,
    (period.billing_month || '-01')::date + (weights.day_number - 1)::integer as day,
    sum(weights.weight)::decimal(38, 0) as weight
from weights
cross join period
group by weights.payer_id, weights.service, period.billing_month, weights.day_number
having sum(weights.weight) > 0
