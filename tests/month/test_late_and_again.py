"""Rows that come after their month was issued, and months that are closed again: what is issued stays as it is."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from provider_home import ProviderHome, at, hourly, organisation, ran

from billing_pipeline.defs.automation import correct_late_months

JANUARY, FEBRUARY, MARCH = "2026-01", "2026-02", "2026-03"
HOUR = timedelta(hours=1)


def hours_of_acme(day: str, hours: int, **columns: object) -> dict:
    """A run of acme at 0.10 an hour."""
    return ran("acme", "apps.s", at(day), at(day) + hours * HOUR, instance_id=f"acme-{day}", **columns)


@dataclass
class Story:
    """January issued, sent again with an hour more, corrected in February; another row of January comes in March."""

    home: ProviderHome
    #: What the sensor asked for: month -> `as_of`.
    asked: dict[str, str] = field(default_factory=dict)
    #: The PDF of January, from its issue on.
    printed: list[bytes] = field(default_factory=list)

    def look(self) -> None:
        (pdf,) = sorted((self.home.folder / "documents" / "INV").glob("INV-2026-000001.pdf"))
        self.printed.append(Path(pdf).read_bytes())


def ask(home: ProviderHome) -> dict[str, str]:
    """What the sensor asks for."""
    requests = list(correct_late_months(dg.build_sensor_context(resources={"billing": home.billing})))
    return {
        request.partition_key: request.run_config["resources"]["billing"]["config"]["as_of"]
        for request in requests
        if isinstance(request, dg.RunRequest)
    }


@pytest.fixture(scope="module")
def story(new_home: Callable[..., ProviderHome]) -> Story:
    home = new_home("late-and-again")
    home.settings["BILLING_LATE_MONTHS"] = "1"
    story = Story(home)
    home.land("organisations", organisation("acme"), organisation("calm"))
    home.land("price_tiers", hourly("apps.s", "0.10"))
    home.land("runtime_intervals", ran("calm", "apps.s", at("2026-01-02"), at("2026-01-03")))
    in_time = hours_of_acme("2026-01-05", 10, event_id="told-1")
    home.land("runtime_intervals", in_time, known_at=at("2026-01-06"))
    home.bill(JANUARY)
    story.look()

    again = at("2026-02-10")
    forgotten = hours_of_acme("2026-01-06", 5, event_id="told-2")
    home.land("runtime_intervals", *(row | {"ingested_at": again} for row in (in_time, forgotten)))
    home.draft(FEBRUARY)
    story.asked = ask(home)
    home.run("correct_month", JANUARY, as_of=datetime.fromisoformat(story.asked[JANUARY]))
    home.command("correct", JANUARY, "--approve", "--author", "Ann")
    home.settle(FEBRUARY)

    too_late = hours_of_acme("2026-01-07", 3, event_id="told-3", ingested_at=at("2026-03-10"))
    just_late = hours_of_acme("2026-02-07", 2, event_id="told-4", ingested_at=at("2026-03-10"))
    home.land("runtime_intervals", too_late, just_late)
    home.draft(MARCH)
    home.close(JANUARY, as_of=at("2026-04-03"))
    story.look()
    return story


@pytest.fixture(scope="module")
def home(story: Story) -> ProviderHome:
    return story.home


def test_a_file_for_an_issued_month_is_counted_late_and_asks_for_a_correction(story, home):
    (late,) = home.rows("usage/late_arrivals", FEBRUARY)
    (file,) = [row for row in home.rows("usage/file_receipts", FEBRUARY) if "2026-02-10" in row["path"]]

    # The row that was sent again says what it said before, and counts once.
    assert (late["origin_month"], file["detail"].split(":")[0]) == (JANUARY, "late_file")
    assert story.asked == {JANUARY: "2026-03-03T00:00:00+00:00"}


def test_the_next_invoice_has_the_line_and_the_issued_document_keeps_its_bytes(story, home):
    (line,) = home.rows("credits/corrections", FEBRUARY)

    assert (line["origin_month"], line["correction_cause"], line["amount_cents"]) == (JANUARY, "late", 50)
    assert story.printed[0].startswith(b"%PDF")
    assert story.printed == [story.printed[0]] * 2


def test_usage_of_a_month_that_is_too_old_is_refused_and_only_told(home):
    refused = [row for row in home.rows("usage/quarantine", MARCH) if row["reason"] == "too_late"]

    assert [("told-3" in row["raw"], row["file_row"]) for row in refused] == [(True, 0)]
    assert [row["origin_month"] for row in home.rows("usage/late_arrivals", MARCH)] == [FEBRUARY]
    assert "too_late: usage of a month for which no correction is made" in home.command("status", MARCH).output


def test_what_was_rated_again_is_not_asked_for_again(home):
    assert ask(home) == {}


def test_closing_an_issued_month_again_tells_the_difference_and_changes_nothing(home):
    (flag,) = home.rows("invoices/flags", JANUARY, reason="already_issued")

    # What came too late for January is not seen.
    assert flag["payer_id"] == "acme"
    assert flag["detail"] == (
        "fees of 150 cents and 360 to pay now, 100 and 240 as issued; run: billing correct 2026-01"
    )
    assert home.row("invoices/invoices", JANUARY, payer_id="acme")["fees_cents"] == 1_00
    assert [document.number for document in home.billing.books.issued()] == ["INV-2026-000001", "INV-2026-000002"]
