"""Laws of a month on the real pipeline: what may be done to the input without changing what anybody pays.

Most are twins in one month: two organisations whose usage is the same in truth and differs in how it was reported. One
organisation's trouble never changes another's invoice: who cannot be billed or breaks an equation is parked, and no one
else. The order and the files of rows, threads, zones and hash seeds: see `test_determinism`.
"""

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

import polars as pl
import pytest
from provider_home import (
    LONG_AGO,
    ProviderHome,
    at,
    counted,
    grant,
    hourly,
    moved,
    one_shot,
    organisation,
    ran,
    stored,
)

JANUARY, FEBRUARY = "2026-01", "2026-02"
GB = 10**9
TWINS = ("plain", "renamed", "cut", "repeated", "halved", "with-free-service")
#: Tables that hold what an organisation pays, and why.
BILLS = (
    "rating/charges", "rating/segments", "credits/credit_statements", "credits/adjustments", "credits/credit_movements",
    "credits/credit_lots", "invoices/drafts", "invoices/invoice_lines", "invoices/lifetimes", "invoices/explanations",
)  # fmt: skip
#: Twins that are billed beside others, too.
BESIDE = ("plain", "cut")
#: Who comes beside them: unpriced, contradicting itself and by its rules; and two that are billed.
BAD, NEW = ("unpriced", "torn", "greedy"), ("newcomer", "zoe")


def usage_of(owner: str, draw: Random) -> dict[str, list[dict]]:
    """A month of everything; the same for every twin. Instants have fractions of a second, prices odd decimals."""
    start = at("2026-01-01")

    def instant(last_day: int) -> datetime:
        return start + timedelta(microseconds=draw.randrange(last_day * 86_400_000_000))

    runs = []
    for number in range(6):
        first, second = sorted((instant(31), instant(31)))
        runs.append(ran(owner, "apps.s", first, second, instance_id=f"{owner}-{number}"))
    return {
        "runtime_intervals": [
            *runs,
            ran(owner, "apps.m", at("2026-01-20T12:00"), None, ingested_at=at("2026-01-20T12:00")),
            ran(owner, "apps.m", at("2026-01-20T12:00"), at("2026-02-10"), ingested_at=at("2026-02-10")),
        ],
        "storage_samples": [stored(owner, "disk", draw.randrange(GB), instant(31)) for _ in range(5)],
        "traffic_deltas": [
            moved(
                owner, "net", draw.randrange(GB), start + day * timedelta(days=1), start + (day + 1) * timedelta(days=1)
            )
            for day in range(5)
        ],
        "unit_counts": [counted(owner, "seats", draw.randrange(9), instant(31)) for _ in range(3)],
        "one_shots": [one_shot(owner, "Help", "33.33", at("2026-01-09"), event_id=f"{owner}-help")],
    }


def rename(rows: list[dict]) -> list[dict]:
    """Other names and ids for the same resources and instances."""
    own = {"resource_id", "resource_name", "instance_id"}
    return [row | {name: f"x-{row[name]}" for name in own & row.keys()} for row in rows]


def cut(rows: list[dict], draw: Random) -> list[dict]:
    """Each closed run as two that touch, at any microsecond."""
    pieces = []
    for row in rows:
        started, stopped = row["started_at"], row["stopped_at"]
        if stopped is None:
            pieces.append(row)
            continue
        between = started + timedelta(microseconds=draw.randrange(1, (stopped - started) // timedelta(microseconds=1)))
        pieces += [row | {"stopped_at": between}, row | {"started_at": between}]
    return pieces


def land_usage(home: ProviderHome, owner: str) -> None:
    """Land a twin's usage as it reports it."""
    usage = usage_of(owner, Random("usage"))
    for feed, rows in usage.items():
        match owner:
            case "renamed":
                home.land(feed, *rename(rows))
            case "cut" if feed == "runtime_intervals":
                home.land(feed, *cut(rows, Random("cuts")))
            case "repeated":
                # Whole files again, then any rows once more.
                named = [row | {"event_id": f"{feed}-{number}", "source": "meter"} for number, row in enumerate(rows)]
                for delivery in (named, named, Random("redelivery").choices(named, k=len(named))):
                    home.land(feed, *delivery)
            case _:
                home.land(feed, *rows)
    if owner == "with-free-service":
        home.land("runtime_intervals", ran(owner, "gift.s", at("2026-01-02"), at("2026-01-30")))


def land_provider(home: ProviderHome, owners: tuple[str, ...]) -> None:
    """Prices, and these organisations with their usage and a coupon."""
    home.land("organisations", *(organisation(owner) for owner in owners))
    public = (
        hourly("apps.s", "0.0712345"),
        hourly("apps.m", "0.19"),
        hourly("gift.s", "0"),
        hourly("disk", "0.0333", basis="stored", per_quantity=GB),
        hourly("net", "0.0777", basis="moved", per_quantity=GB, per_seconds=None),
        hourly("seats", "1.99", basis="units", per_seconds=None),
    )
    home.land("price_tiers", *public)
    if "halved" in owners:
        # The same price for everyone, in two versions for one.
        home.land(
            "price_tiers",
            *(
                price | {"price_id": f"{price['price_id']}.{half}", "owner_id": "halved", **valid}
                for price in public
                if price["basis"] in ("runtime", "stored")
                for half, valid in (("1", {"valid_to": at("2026-01-16")}), ("2", {"valid_from": at("2026-01-16")}))
            ),
        )
    home.land("spend_rules", discount("sale", slug="seats"))
    home.land("credit_grants", *(grant(owner, f"{owner}-coupon", "10.00") for owner in owners))
    for owner in owners:
        land_usage(home, owner)


def discount(rule_id: str, **columns: object) -> dict[str, object]:
    common = {"name": rule_id, "kind": "discount", "currency": "EUR", "valid_from": LONG_AGO, "rate": "0.1"}
    return common | {"rule_id": rule_id} | columns


def land_trouble(home: ProviderHome) -> None:
    """What keeps the bad ones from being billed, and somebody from nowhere."""
    home.land("spend_rules", *(discount(rule_id, owner_id="greedy") for rule_id in ("one", "two")))
    home.land("organisations", organisation("nowhere", country="XX"))
    home.land(
        "runtime_intervals",
        ran("unpriced", "apps.exotic", at("2026-01-05"), at("2026-01-06")),
        ran("nowhere", "apps.s", at("2026-01-05"), at("2026-01-06")),
    )
    twice = ran("torn", "apps.s", at("2026-01-11"), at("2026-01-12"), instance_id="i", event_id="same")
    home.land("runtime_intervals", twice, twice | {"stopped_at": at("2026-01-13")})


@dataclass
class Told:
    """The twins' months, and what became of them when January was closed again after February."""

    home: ProviderHome
    first: dict
    again: dict


@pytest.fixture(scope="module")
def told(new_home: Callable[..., ProviderHome]) -> Told:
    """January and February 2026 of all twins; then January once more."""
    home = new_home("twins")
    land_provider(home, TWINS)
    home.draft(f"{JANUARY}..{FEBRUARY}")
    first = home.checksums()
    home.draft(JANUARY)
    return Told(home, first, home.checksums())


@pytest.fixture(scope="module")
def home(told: Told) -> ProviderHome:
    return told.home


@pytest.fixture(scope="module")
def others(new_home: Callable[..., ProviderHome]) -> ProviderHome:
    """January with other organisations around `plain` and `cut`: some are gone, some are new, some cannot be billed."""
    home = new_home("others")
    land_provider(home, (*BESIDE, *NEW, *BAD))
    land_trouble(home)
    home.draft(JANUARY)
    return home


@pytest.fixture(scope="module")
def tampered(others: ProviderHome, new_home: Callable[..., ProviderHome]) -> ProviderHome:
    """The same month settled again, after the source rows of the lines of Zoe were lost."""
    home = new_home("tampered")
    shutil.copytree(others.folder, home.folder, dirs_exist_ok=True)
    sources = home.generation("rating/charge_sources", JANUARY)
    zoe = home.generation("rating/charges", JANUARY).read().filter(payer_id="zoe")
    kept = sources.read().join(zoe, on="line_id", how="anti")
    home.billing.warehouse.publish(
        "rating/charge_sources", f"month={JANUARY}", kept, as_of=at("2026-02-03"), inputs=sources.manifest["inputs"]
    )
    home.settle(JANUARY)
    return home


def paid(home: ProviderHome, owner: str, month: str = JANUARY) -> Counter[tuple]:
    """What an organisation is charged: service, quantity, seconds, amount; one entry per line."""
    lines = home.rows("invoices/invoice_lines", month, payer_id=owner)
    return Counter((line["slug"], line["quantity"], line["duration_s"], line["amount_cents"]) for line in lines)


def total(home: ProviderHome, owner: str, month: str = JANUARY) -> int:
    return home.row("invoices/drafts", month, payer_id=owner)["payable_cents"]


@pytest.mark.parametrize("twin", ["renamed", "cut", "repeated"])
@pytest.mark.parametrize("month", [JANUARY, FEBRUARY])
def test_names_cuts_and_redelivery_change_no_line(home, twin, month):
    assert paid(home, twin, month) == paid(home, "plain", month)
    assert total(home, twin, month) == total(home, "plain", month)
    assert sum(paid(home, "plain", month).values()) > 0


def test_a_redelivered_row_is_counted_as_a_duplicate(home):
    receipts = home.generation("usage/file_receipts", JANUARY).read()

    assert receipts["duplicate_rows"].sum() > 0


def test_a_service_at_price_zero_is_printed_and_costs_nothing(home):
    extra = paid(home, "with-free-service") - paid(home, "plain")

    assert [(slug, amount) for slug, _, _, amount in extra] == [("gift.s", 0)]
    assert total(home, "with-free-service") == total(home, "plain")


def test_two_half_months_are_the_month_but_for_the_rounding_of_their_lines(home):
    halves, whole = (home.rows("invoices/invoice_lines", JANUARY, payer_id=owner) for owner in ("halved", "plain"))

    assert len(halves) > len(whole)
    for slug in ("apps.s", "apps.m", "disk"):
        of_halves, of_whole = ([line for line in lines if line["slug"] == slug] for lines in (halves, whole))
        # Half a cent and less than a second for each line that is rounded.
        difference = sum(line["amount_cents"] for line in of_halves) - sum(line["amount_cents"] for line in of_whole)
        assert 2 * abs(difference) <= len(of_halves) + len(of_whole)
        seconds = sum(line["duration_s"] for line in of_whole) - sum(line["duration_s"] for line in of_halves)
        assert 0 <= seconds < len(of_halves)


def test_an_open_run_is_billed_in_every_month_up_to_its_end(home):
    seconds = [
        home.row("invoices/invoice_lines", month, payer_id="plain", slug="apps.m")["duration_s"]
        for month in (JANUARY, FEBRUARY)
    ]

    assert sum(seconds) == (at("2026-02-10") - at("2026-01-20T12:00")).total_seconds()
    assert seconds[1] == 9 * 86_400


@pytest.mark.parametrize("payer", BESIDE)
@pytest.mark.parametrize("table", BILLS)
def test_organisations_that_come_and_go_or_cannot_be_billed_change_nothing_for_the_others(home, others, payer, table):
    rows, expected = (of.rows(table, JANUARY, payer_id=payer) for of in (others, home))

    assert rows == expected
    assert rows


def test_who_cannot_be_billed_is_parked_and_no_one_else(home, others):
    assert home.reasons(JANUARY) == {}
    assert set(others.reasons(JANUARY)) == {*BAD, "nowhere"}


def test_who_breaks_an_equation_is_parked_and_the_others_are_billed_as_before(home, tampered):
    row = tampered.row("invoices/parked_organisations", JANUARY, payer_id="zoe")

    assert row["reason"] == "equation"
    assert "every_line_has_sources: line " in row["detail"]
    assert tampered.rows("invoices/drafts", JANUARY, payer_id="zoe") == []
    is_beside = pl.col("payer_id").is_in(BESIDE)
    bills = {table: [of.generation(table, JANUARY).read().filter(is_beside) for of in (tampered, home)]
             for table in (*BILLS, "invoices/refills")}  # fmt: skip
    assert [table for table, (rows, expected) in bills.items() if not rows.equals(expected)] == []


def test_a_payer_parked_by_an_equation_costs_the_month_its_score(tampered):
    scores = {row["measure"]: row for row in tampered.rows("invoices/scores", JANUARY, score="clearing")}

    assert (scores[""]["numerator"], scores[""]["denominator"]) == (3, 4)
    assert scores[""]["ppm"] == 750_000


def test_closing_a_month_again_after_the_next_one_exists_changes_no_byte(told):
    assert told.again == told.first
    assert {key.split()[1] for key in told.first} == {f"month={JANUARY}", f"month={FEBRUARY}"}
