"""What starts runs by itself, once somebody switches it on: what closes months, asks for periods, looks for late usage.

None of it reads a clock: schedules go by their tick, the sensor by what is published and issued.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import dagster as dg

from billing_pipeline.defs.billing import Billing, as_of, partition
from billing_pipeline.defs.corrections import DIFFERENCES
from billing_pipeline.defs.interim import why_not_running
from billing_pipeline.defs.jobs import bill_periods, close_month, correct_month
from billing_pipeline.defs.partitions import billing_month
from billing_pipeline.rules.period import Month
from billing_pipeline.settings import Settings

_LATE = "usage/late_arrivals"


@dg.schedule(
    cron_schedule=f"0 4 {Settings().close_day} * *",
    target=close_month,
    execution_timezone=billing_month.timezone,
    default_status=dg.DefaultScheduleStatus.STOPPED,
)
def close_last_month(
    context: dg.ScheduleEvaluationContext, billing: dg.ResourceParam[Billing]
) -> dg.RunRequest | dg.SkipReason:
    """Close the month before, on the day of the month that the settings name (`close_day`).

    Skipped while rows are still waited for, and for a month that is issued already.
    """
    tick = context.scheduled_execution_time
    today = tick.astimezone(billing.settings.zone)
    month = Month.of(today).previous
    if tick < billing.as_of(month):
        return dg.SkipReason(
            f"{month} waits for late rows until {billing.as_of(month):%Y-%m-%dT%H:%M:%SZ} (grace_days); "
            f"set close_day later"
        )
    if billing.books.is_issued(month):
        return dg.SkipReason(f"{month} is issued; what would differ now is said by: billing correct {month}")
    return dg.RunRequest(run_key=str(month), partition_key=str(month))


@dg.schedule(
    cron_schedule="0 2 * * *",
    target=bill_periods,
    execution_timezone=billing_month.timezone,
    default_status=dg.DefaultScheduleStatus.STOPPED,
)
def bill_ended_periods(
    context: dg.ScheduleEvaluationContext, billing: dg.ResourceParam[Billing]
) -> dg.RunRequest | dg.SkipReason:
    """Ask those who are invoiced by the day or week for what the running month lacks up to the night before.

    Skipped on the first day of a month, of which no period has ended, and while the month before is not issued.
    """
    tick = context.scheduled_execution_time
    today = tick.astimezone(billing.settings.zone)
    month = Month.of(today)
    if today.day == 1:
        return dg.SkipReason(f"no period of {month} has ended")
    if problem := why_not_running(billing, month):
        return dg.SkipReason(problem)
    return dg.RunRequest(run_key=f"{today:%Y-%m-%d}", partition_key=str(month), run_config=_as_of(tick))


@dg.sensor(
    target=correct_month,
    minimum_interval_seconds=3_600,
    default_status=dg.DefaultSensorStatus.STOPPED,
)
def correct_late_months(
    context: dg.SensorEvaluationContext, billing: dg.ResourceParam[Billing]
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Rate issued months again for which a later month found late usage, as of that month's closing.

    What differs is published and waits for somebody's approval; nothing is booked.
    """
    del context
    found = sorted(months_behind(billing).items())
    for month, seen in found:
        yield dg.RunRequest(
            run_key=f"{month} as of {seen.isoformat()}",
            partition_key=str(month),
            run_config=_as_of(seen),
        )
    if not found:
        yield dg.SkipReason("no issued month has late usage that it was not rated again with")


def _as_of(seen: datetime) -> dict[str, Any]:
    """The configuration of a run that sees what had landed by an instant."""
    return {"resources": {"billing": {"config": {"as_of": seen.isoformat()}}}}


def months_behind(billing: Billing) -> dict[Month, datetime]:
    """Issued months with late usage that they were not rated again with, and the `as_of` that knows all of it."""
    late: dict[Month, datetime] = {}
    for key in billing.warehouse.partitions(_LATE):
        published = billing.warehouse.require(_LATE, key)
        for origin in published.read()["origin_month"].unique():
            month = Month.parse(origin)
            late[month] = max(as_of(published), late.get(month, as_of(published)))
    return {month: seen for month, seen in late.items() if _is_behind(billing, month, seen)}


def _is_behind(billing: Billing, month: Month, seen: datetime) -> bool:
    """Whether an issued month was neither issued nor rated again with what was known at an instant."""
    issued = billing.books.issued_month(month)
    rated = billing.warehouse.current(DIFFERENCES, partition(month))
    return issued is not None and issued.as_of < seen and (rated is None or as_of(rated) < seen)
