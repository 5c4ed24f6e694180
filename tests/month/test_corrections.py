"""Late data of issued months: what was billed and what corrects it is what complete data are billed at once.

One provider keeps its books twice. `complete` knows every row in time. `late` gets one row in a hundred, some
withdrawals and another price only after the months were issued, is rated again, approved, and books the difference.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

import polars as pl
import pytest
from provider_home import (
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

from billing_pipeline.rules.period import Month, parse_months

GB = 10**9
OWNERS = ("acme", "beta", "labs", "nano", "zeta")

#: A raw row and its feed.
Told = tuple[str, dict]


def usage_of(month: Month, draw: Random) -> Iterator[Told]:
    """A month of everything, of every organisation."""
    start = datetime.fromisoformat(f"{month}-01T00:00:00+00:00")
    days = (month.next.first_day - month.first_day).days

    def instant() -> datetime:
        return start + timedelta(microseconds=draw.randrange(days * 86_400_000_000))

    for owner in OWNERS:
        for number in range(12):
            first, second = sorted((instant(), instant()))
            resource = f"{owner}-app-{number % 3}"
            yield (
                "runtime_intervals",
                ran(owner, "apps.s", first, second, resource_id=resource, instance_id=f"{resource}-{month}-{number}"),
            )
        for number in range(8):
            # Each is worth less than a cent.
            begun = instant()
            resource = f"{owner}-fn-{month}-{number}"
            yield (
                "runtime_intervals",
                ran(
                    owner,
                    "fn.x",
                    begun,
                    begun + timedelta(seconds=draw.randrange(9, 99)),
                    resource_id=resource,
                    instance_id=resource,
                ),
            )
        for day in range(days):
            yield (
                "storage_samples",
                stored(
                    owner, "disk", draw.randrange(900 * GB), start + timedelta(days=day, seconds=draw.randrange(9_999))
                ),
            )
            begun = start + timedelta(days=day)
            yield "traffic_deltas", moved(owner, "net", draw.randrange(40 * GB), begun, begun + timedelta(hours=20))
        for _ in range(4):
            yield "unit_counts", counted(owner, "seats", draw.randrange(1, 90), instant())
        yield (
            "one_shots",
            one_shot(owner, "Help", f"{draw.randrange(9, 99)}.50", instant(), event_id=f"{owner}-{month}"),
        )


def land_provider(home: ProviderHome) -> None:
    """Who they are, what they pay for, and what lowers or tops up their bills."""
    home.land(
        "organisations",
        organisation("acme"),
        organisation("gone", closed_on=at("2026-01-31").date()),
        organisation("beta", discount_rate="0.05"),
        organisation("labs", payer_id="acme"),
        organisation("nano"),
        organisation("zeta", price_factor="0.9"),
    )
    home.land(
        "price_tiers",
        hourly("apps.s", "0.0712345"),
        hourly("fn.x", "0.05"),
        hourly("disk", "0.0000333", basis="stored", per_quantity=GB),
        *(
            hourly(
                "net",
                price,
                basis="moved",
                per_quantity=GB,
                per_seconds=None,
                tier_mode="graduated",
                tier_from=start,
                tier_to=end,
            )
            for price, start, end in (("0.09", 0, 500 * GB), ("0.07", 500 * GB, None))
        ),
        hourly("seats", "1.99", basis="units", per_seconds=None),
    )
    rule = {"currency": "EUR", "valid_from": at("2025-01-01"), "name": "Rule"}
    home.land(
        "spend_rules",
        rule | {"rule_id": "apps", "kind": "discount", "slug": "apps.s", "rate": "0.10"},
        rule | {"rule_id": "most", "kind": "maximum", "owner_id": "nano", "amount": "150"},
        rule | {"rule_id": "least", "kind": "minimum", "owner_id": "zeta", "amount": "400"},
    )
    home.land("credit_grants", grant("acme", "WELCOME", "90.00"), grant("beta", "DISKS", "5.00", slugs="disk"))
    home.land("credit_grants", grant("gone", "LAST", "4.00"), grant("gone", "gone-opening", "6.00", kind="prepaid"))


def usage_of_who_closed() -> list[Told]:
    """What is withdrawn whole, after the organisation closed."""
    help_of_gone = one_shot("gone", "Help", "20.00", at("2026-01-20"))
    return [
        ("runtime_intervals", ran("gone", "apps.s", at("2026-01-05"), at("2026-01-15"))),
        ("one_shots", help_of_gone | {"event_id": "gone-help"}),
    ]


def on_last_day(taken_in: datetime) -> datetime:
    """A provider that delivers once a month: fewer arrival days."""
    last = Month.of(taken_in).last_day
    return datetime(last.year, last.month, last.day, 23, tzinfo=UTC)


@dataclass
class Corrected:
    """The same provider with complete and with late data."""

    complete: ProviderHome
    late: ProviderHome
    #: The corrected months and the one that books.
    months: list[Month]
    booking: Month
    late_rows: int
    all_rows: int
    #: What `billing …` printed.
    printed: dict[str, str]

    def billed(self) -> Counter[tuple[str, str]]:
        """What was ever invoiced for each line of the corrected months, its corrections included."""
        cents: Counter[tuple[str, str]] = Counter()
        for month in self.months:
            for line in self.late.rows("invoices/invoice_lines", str(month)):
                cents[str(month), line["line_id"]] += line["amount_cents"]
        for line in self.late.rows("credits/corrections", str(self.booking)):
            cents[line["origin_month"], line["corrected_line_id"]] += line["amount_cents"]
        for line in self.late.rows("credits/credit_note_lines", str(self.booking)):
            cents[line["origin_month"], line["corrected_line_id"]] -= line["amount_cents"]
        return Counter({key: value for key, value in cents.items() if value})

    def due(self) -> Counter[tuple[str, str]]:
        """What complete data make each line."""
        return Counter(
            {
                (str(month), line["line_id"]): line["amount_cents"]
                for month in self.months
                for line in self.complete.rows("invoices/invoice_lines", str(month))
                if line["amount_cents"]
            }
        )


def make(new_home: Callable[..., ProviderHome], name: str, months: list[Month]) -> Corrected:
    """Bill the months with complete and with late data; the month after them books the corrections."""
    booking = months[-1].next
    homes = {kind: new_home(f"{kind}-{name}") for kind in ("complete", "late")}
    told = [row for month in (*months, booking) for row in usage_of(month, Random(f"usage of {month}"))]
    draw = Random(name)
    known = datetime.fromisoformat(f"{booking}-10T00:00:00+00:00")
    start = datetime.fromisoformat(f"{booking}-01T00:00:00+00:00")
    candidates = [number for number, (_, row) in enumerate(told) if row["ingested_at"] < start]
    of_late = set(draw.sample(candidates, max(1, len(candidates) // 100)))
    # What is withdrawn is told in time and taken back; complete data never had it.
    withdrawn = set(draw.sample(sorted(set(candidates) - of_late), 3))
    of_gone = usage_of_who_closed()
    withdrawn |= set(range(len(told), len(told) + len(of_gone)))
    told += of_gone
    for kind, home in homes.items():
        land_provider(home)
        for feed in sorted({feed for feed, _ in told}):
            rows = []
            for number, (of_feed, row) in enumerate(told):
                if of_feed != feed or (kind == "complete" and number in withdrawn):
                    continue
                named = {"event_id": f"{feed}-{number}"} | row | {"ingested_at": on_last_day(row["ingested_at"])}
                rows.append(named | ({"ingested_at": known} if kind == "late" and number in of_late else {}))
                if number in withdrawn:
                    rows.append(named | {"ingested_at": known, "is_deleted": True})
            home.land(feed, *rows)
    cheaper = hourly("seats", "1.49", basis="units", per_seconds=None)
    homes["complete"].land("price_tiers", cheaper, known_at=at("2025-01-02"))
    homes["late"].land("price_tiers", cheaper, known_at=known)
    # Too late for an invoice of its own.
    ordered = {"event_id": "audit", "invoice": "specific", "ingested_at": known}
    homes["late"].land("one_shots", one_shot("acme", "Audit", "12.00", at(f"{months[0]}-20"), **ordered))
    span = f"{months[0]}..{months[-1]}"
    homes["complete"].draft(span)
    late = homes["late"]
    late.number(span)
    printed = {}
    late.run("correct_month", span, as_of=known + timedelta(days=1))
    for month in months:
        printed[f"diff {month}"] = late.command("diff", str(month)).output
        printed[f"approve {month}"] = late.command("correct", str(month), "--approve", "--author", "Ann").output
    late.number(str(booking))
    late.run("correct_month", str(months[0]), as_of=known + timedelta(days=1))
    printed["again"] = late.command("correct", str(months[0]), "--approve", "--author", "Ann").output
    return Corrected(homes["complete"], late, months, booking, len(of_late), len(candidates), printed)


@pytest.fixture(
    scope="module", params=[1, pytest.param(11, marks=pytest.mark.slow)], ids=lambda months: f"{months}-months"
)
def corrected(request: pytest.FixtureRequest, new_home: Callable[..., ProviderHome]) -> Corrected:
    last = parse_months("2026-01..2026-11")[: request.param]
    return make(new_home, f"corrected-{request.param}", last)


def test_one_row_in_a_hundred_is_late_and_changes_lines_of_every_month(corrected):
    assert corrected.late_rows * 100 >= corrected.all_rows - 100
    lines = corrected.late.rows("credits/corrections", str(corrected.booking))
    assert {line["origin_month"] for line in lines} == {str(month) for month in corrected.months}
    assert {"late", "price"} <= {line["correction_cause"] for line in lines}


def test_each_line_and_its_corrections_are_the_line_of_complete_data(corrected):
    assert corrected.billed() == corrected.due()


def test_everything_ever_invoiced_is_what_complete_data_are_invoiced(corrected):
    late, complete = (fees_of(home, corrected.months) for home in (corrected.late, corrected.complete))
    for line in corrected.late.rows("credits/corrections", str(corrected.booking)):
        late[line["payer_id"]] += line["amount_cents"]
    for note in corrected.late.rows("invoices/credit_notes", str(corrected.booking)):
        late[note["payer_id"]] -= note["fees_cents"]

    assert late == complete
    assert late.pop("gone") == 0
    assert min(late.values()) > 0


def test_nobody_is_held_back_and_every_equation_holds(corrected):
    months = [*corrected.months, corrected.booking]

    assert [corrected.late.reasons(str(month)) for month in months] == [{}] * len(months)


def test_what_an_invoice_has_no_room_for_is_a_credit_note_that_gives_back_what_had_paid(corrected):
    booking = str(corrected.booking)
    (note,) = corrected.late.rows("invoices/credit_notes", booking)
    invoice = corrected.late.row("invoices/invoices", "2026-01", payer_id="gone")

    # A number bears the year of its issue: a month is issued in the next one.
    assert (note["number"], note["kind"]) == (f"CN-{corrected.booking.next.year}-000001", "credit_note")
    assert (note["refers_to"], note["refers_to_issued_on"]) == (invoice["number"], invoice["issued_on"])
    # 240 h at 0.0712345 less 10 %, and 20.00: 4.00 of it paid by a coupon, 6.00 by prepaid credits.
    assert note["fees_cents"] == invoice["fees_cents"] == 15_39 + 20_00
    assert (note["free_given_back_cents"], note["prepaid_given_back_cents"]) == (4_00, 6_00)
    assert (note["subtotal_cents"], note["vat_cents"], note["payable_cents"]) == (25_39, 5_08, 30_47)
    (entry,) = [issued for issued in corrected.late.billing.books.issued() if issued.request.kind == "credit_note"]
    assert (entry.number, entry.request.facts["refers_to"]) == (note["number"], invoice["number"])


def test_an_invoice_whose_month_was_corrected_is_not_issued_again(corrected):
    told = ("--reissue", "--reason", "moved", "--author", "Ada")
    number = corrected.late.row("invoices/invoices", "2026-01", payer_id="zeta")["number"]

    refused = corrected.late.command("cancel", number, *told).output

    assert f"{number} cannot be issued again as it was: a correction of 2026-01 was approved for its payer" in refused
    assert f"billing cancel {number}" in refused


def test_credits_that_come_back_to_who_closed_lapse_or_stay_prepaid(corrected):
    statement = corrected.late.row("credits/credit_statements", str(corrected.booking), payer_id="gone")

    letters = ("free_before", "prepaid_before", "fees", "free_used", "free_expired", "prepaid_used")
    assert [statement[f"{letter}_cents"] for letter in letters] == [4_00, 6_00, 0, 0, -4_00, 0]
    movements = corrected.late.rows("credits/credit_movements", str(corrected.booking), payer_id="gone")
    assert {(row["kind"], row["grant_id"], row["amount_cents"]) for row in movements} == {
        ("given_back", "LAST", 4_00),
        ("given_back", "prepaid", 6_00),
        ("free_expired", "LAST", -4_00),
    }


def fees_of(home: ProviderHome, months: list[Month]) -> Counter[str]:
    fees: Counter[str] = Counter()
    for month in months:
        for draft in home.rows("invoices/drafts", str(month)):
            fees[draft["payer_id"]] += draft["fees_cents"]
    return fees


def test_a_correction_that_was_approved_is_no_difference_any_more(corrected):
    again = corrected.late.generation("corrections/differences", str(corrected.months[0])).read()

    assert again.is_empty()
    assert "Nothing of" in corrected.printed["again"]
    assert len(corrected.late.billing.books.approved_corrections()) == len(corrected.months)


def test_what_was_billed_stays_what_every_reader_sees(corrected):
    first = str(corrected.months[0])
    lines, charges = (corrected.late.generation(table, first) for table in ("invoices/invoice_lines", "rating/charges"))

    assert lines.manifest["inputs"]["rating/charges"] == charges.id
    inputs = corrected.late.generation("corrections/differences", first).manifest["inputs"]
    assert inputs["rating/charges aside"] != charges.id


def test_next_months_estimate_leaves_corrections_out(corrected):
    booking = str(corrected.booking)
    recurring: Counter[str] = Counter()
    for line in corrected.late.rows("invoices/invoice_lines", booking):
        is_expected = line["correction_cause"] is None and line["basis"] != "one_shot"
        recurring[line["payer_id"]] += line["amount_cents"] * is_expected
    stated = {
        row["payer_id"]: row["recurring_cents"] for row in corrected.late.rows("credits/credit_statements", booking)
    }

    # Nobody whose discounts lower one-off charges, too.
    assert [stated[payer] for payer in ("acme", "zeta", "gone")] == [recurring["acme"], recurring["zeta"], 0]


def test_a_correction_is_explained_by_the_old_figure_the_new_one_and_its_cause(corrected):
    booking = str(corrected.booking)
    explained = corrected.late.generation("invoices/explanations", booking).read()
    for line in corrected.late.rows("credits/corrections", booking):
        steps = explained.filter(line_id=line["line_id"], figure="amount").sort("step")
        rest = line["amount_cents"] - (line["rated_cents"] - line["billed_cents"])
        assert steps["what"].to_list() == ["rerated", "billed"] + ["credited"] * bool(rest)
        assert steps["amount_cents"].to_list()[:2] == [line["rated_cents"], -line["billed_cents"]]
        assert steps["amount_cents"].sum() == line["amount_cents"]
        assert steps["text"][0].endswith(f"of {line['origin_month']}, {line['correction_cause']}")


def test_explaining_a_correction_leads_to_who_approved_it_what_was_billed_and_the_raw_files(corrected):
    booking = str(corrected.booking)
    lines = corrected.late.rows("credits/corrections", booking)
    late = next(line for line in lines if line["correction_cause"] == "late" and line["basis"] == "moved")

    text = corrected.late.command("explain", booking, late["line_id"], "--organisation", late["payer_id"]).output

    assert "approved by Ann" in text
    assert (
        f"billing explain {late['origin_month']} --organisation {late['payer_id']} {late['corrected_line_id']}" in text
    )
    assert "traffic_deltas/arrival_date=" in text


def test_the_differences_are_told_by_line_organisation_and_cause(corrected):
    month, booking = corrected.months[0], str(corrected.booking)
    tables = ("credits/corrections", "credits/credit_note_lines")
    rows = [row for table in tables for row in corrected.late.rows(table, booking, origin_month=str(month))]
    text = corrected.printed[f"diff {month}"]

    assert f"{len({row['corrected_line_id'] for row in rows}):,} lines differ from what was billed" in text
    assert "Not compared: 0" in text
    assert "Charges that no invoice of their own asks for: 1; they came after the month was issued" in text
    assert "  acme  invoice  test/audit  €12.00" in text
    assert f"Correction of {month}" in corrected.printed[f"approve {month}"]


def test_raw_files_of_a_second_rating_are_published_with_it(corrected):
    billing = corrected.late.billing
    approved = billing.books.approved_corrections()[-1]
    generation = billing.warehouse.generation("corrections/differences", f"month={approved.month}", approved.generation)
    sources, inputs = generation.read("sources"), generation.manifest["inputs"]

    assert sources["source_rows"].min() > 0
    assert {f"usage/{feed} aside" for feed in sources["feed"].unique()} <= inputs.keys()


def test_negative_corrections_lower_lines_that_credits_would_pay(corrected):
    booking = str(corrected.booking)
    fees = corrected.late.generation("credits/credit_statements", booking).read("fees")
    shares = corrected.late.generation("credits/adjustments", booking).read("shares")
    lines = corrected.late.generation("credits/corrections", booking).read()

    negative = lines.filter(pl.col("amount_cents") < 0)
    assert negative.height > 0
    assert fees["correction_cents"].sum() == negative["amount_cents"].sum()
    borne = shares.join(negative, left_on="adjustment_line_id", right_on="line_id")["share_cents"].sum()
    assert borne == negative["amount_cents"].sum()
    assert fees["fee_cents"].min() >= 0
