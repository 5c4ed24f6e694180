"""What starts runs by itself: when, for which month, and when it rather does not."""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from billing_pipeline.definitions import defs
from billing_pipeline.defs.automation import bill_ended_periods, close_last_month, correct_late_months
from billing_pipeline.defs.billing import Billing, open_billing, partition
from billing_pipeline.rules.period import Month
from billing_pipeline.settings import Settings
from billing_pipeline.tables.corrections import Differences
from billing_pipeline.tables.usage import LateArrivals

JANUARY, FEBRUARY = Month(2026, 1), Month(2026, 2)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.fixture
def billing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Billing:
    """An empty home with the usual settings."""
    for name in [name for name in os.environ if name.startswith("BILLING_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("BILLING_HOME", str(tmp_path))
    return open_billing(Settings(), "0" * 64)


def issue(billing: Billing, month: Month, as_of: str) -> None:
    billing.books.record_month_issued(month, {}, as_of=at(as_of))


def tell_late(billing: Billing, closed: Month, as_of: str, *origins: Month) -> None:
    """Close a month that found late usage of older ones."""
    rows = [("unit_counts", str(origin), 3) for origin in origins]
    late = pl.DataFrame(rows, schema=LateArrivals.create_empty().schema, orient="row")
    billing.warehouse.publish("usage/late_arrivals", partition(closed), late, as_of=at(as_of), inputs={})


def tick(billing: Billing, instant: str) -> dg.RunRequest | dg.SkipReason:
    """What the schedule that closes asks for at a tick."""
    return close_last_month(ticking(billing, instant))


def ticking(billing: Billing, instant: str) -> dg.ScheduleEvaluationContext:
    return dg.build_schedule_context(scheduled_execution_time=at(instant), resources={"billing": billing})


@pytest.fixture
def asked(billing: Billing) -> Callable[[], list[tuple[str, str]]]:
    """Months that the sensor asks for, with the `as_of` that they are to be rated with."""

    def ask() -> list[tuple[str, str]]:
        found = list(correct_late_months(dg.build_sensor_context(resources={"billing": billing})))
        requests = [request for request in found if isinstance(request, dg.RunRequest)]
        assert len(requests) == len(found) or [type(skip) for skip in found] == [dg.SkipReason]
        return [
            (request.partition_key, request.run_config["resources"]["billing"]["config"]["as_of"])
            for request in requests
        ]

    return ask


def test_nothing_starts_by_itself_until_somebody_switches_it_on():
    repository = defs().get_repository_def()

    assert sorted(schedule.name for schedule in repository.schedule_defs) == ["bill_ended_periods", "close_last_month"]
    assert [sensor.name for sensor in repository.sensor_defs] == ["correct_late_months"]
    for schedule in repository.schedule_defs:
        assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
    assert repository.get_sensor_def("correct_late_months").default_status is dg.DefaultSensorStatus.STOPPED


def test_a_month_is_closed_on_the_day_that_the_settings_name():
    assert Settings(close_day=5).close_day == 5
    assert close_last_month.cron_schedule == f"0 4 {Settings().close_day} * *"


@pytest.mark.parametrize(
    ("instant", "month"),
    [("2026-02-03T04:00", "2026-01"), ("2026-03-28T04:00", "2026-02"), ("2027-01-03T04:00", "2026-12")],
)
def test_the_schedule_closes_the_month_before_its_tick(billing, instant, month):
    request = tick(billing, instant)

    assert (request.partition_key, request.run_key) == (month, month)


def test_the_schedule_waits_for_the_days_of_grace(billing):
    assert "2026-01 waits for late rows until 2026-02-03T00:00:00Z" in tick(billing, "2026-02-02T04:00").skip_message


def test_the_schedule_leaves_an_issued_month_alone(billing):
    issue(billing, JANUARY, "2026-02-03")

    assert "2026-01 is issued" in tick(billing, "2026-02-03T04:00").skip_message


def test_every_night_the_running_month_is_asked_for_what_has_ended(billing):
    billing.books.record_first_month(JANUARY)

    request = bill_ended_periods(ticking(billing, "2026-01-12T02:00"))

    assert (request.partition_key, request.run_key) == ("2026-01", "2026-01-12")
    assert request.run_config["resources"]["billing"]["config"]["as_of"] == "2026-01-12T02:00:00+00:00"


def test_nothing_of_a_month_has_ended_on_its_first_day(billing):
    billing.books.record_first_month(JANUARY)
    assert bill_ended_periods(ticking(billing, "2026-01-01T02:00")).skip_message == "no period of 2026-01 has ended"


def test_periods_wait_until_the_month_before_is_issued(billing):
    billing.books.record_first_month(JANUARY)
    assert "run: billing bill 2026-01" in bill_ended_periods(ticking(billing, "2026-02-02T02:00")).skip_message

    issue(billing, JANUARY, "2026-02-03")

    assert bill_ended_periods(ticking(billing, "2026-02-04T02:00")).partition_key == "2026-02"


def test_no_month_becomes_the_first_one_by_a_schedule(billing):
    assert "run: billing bill 2025-12" in bill_ended_periods(ticking(billing, "2026-01-12T02:00")).skip_message
    assert billing.books.first_month() is None


def test_late_usage_of_an_issued_month_asks_for_its_correction(billing, asked):
    tell_late(billing, FEBRUARY, "2026-03-03", JANUARY)
    assert asked() == []

    issue(billing, JANUARY, "2026-02-03")

    assert asked() == [("2026-01", "2026-03-03T00:00:00+00:00")]


def test_a_correction_is_asked_for_once_with_all_that_is_known(billing, asked):
    issue(billing, JANUARY, "2026-02-03")
    issue(billing, FEBRUARY, "2026-03-03")
    tell_late(billing, FEBRUARY, "2026-03-03", JANUARY)
    tell_late(billing, FEBRUARY.next, "2026-04-03", JANUARY, FEBRUARY)

    assert asked() == [("2026-01", "2026-04-03T00:00:00+00:00"), ("2026-02", "2026-04-03T00:00:00+00:00")]


def test_what_the_month_was_issued_or_rated_again_with_is_not_late(billing, asked):
    tell_late(billing, FEBRUARY, "2026-03-03", JANUARY)
    issue(billing, JANUARY, "2026-03-03")
    assert asked() == []

    tell_late(billing, FEBRUARY, "2026-03-05", JANUARY)
    assert asked() == [("2026-01", "2026-03-05T00:00:00+00:00")]

    nothing = Differences.create_empty()
    billing.warehouse.publish("corrections/differences", partition(JANUARY), nothing, as_of=at("2026-03-05"), inputs={})
    assert asked() == []


def test_what_is_asked_for_is_a_run_that_the_job_takes(billing):
    issue(billing, JANUARY, "2026-02-03")
    tell_late(billing, FEBRUARY, "2026-03-03", JANUARY)
    repository, job = defs().get_repository_def(), defs().resolve_job_def("correct_month")
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(instance=instance, repository_def=repository, resources={"billing": billing})
        (request,) = repository.get_sensor_def("correct_late_months").evaluate_tick(context).run_requests

    config = dg.validate_run_config(job, request.run_config)["resources"]["billing"]["config"]

    assert request.partition_key == "2026-01"
    assert config["as_of"] == "2026-03-03T00:00:00+00:00"


@pytest.mark.parametrize(
    ("schedule", "instant"),
    [("close_last_month", "2026-02-03T04:00"), ("bill_ended_periods", "2026-01-12T02:00")],
)
def test_what_a_schedule_asks_for_can_be_chosen(billing, schedule, instant):
    billing.books.record_first_month(JANUARY)
    repository = defs().get_repository_def()
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_schedule_context(
            instance=instance,
            scheduled_execution_time=at(instant),
            repository_def=repository,
            resources={"billing": billing},
        )
        (request,) = repository.get_schedule_def(schedule).evaluate_tick(context).run_requests

    assert request.partition_key == "2026-01"
