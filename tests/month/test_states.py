"""From draft to paid, held or written off: what states do to the month after, and that nothing was touched."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import pytest
from provider_home import ProviderHome, at, grant, hourly, organisation, payment, ran

from billing_pipeline.defs.states import record_payments
from billing_pipeline.rules.period import Month
from billing_pipeline.tables.credits import Refills

JANUARY, FEBRUARY = "2026-01", "2026-02"
OWNERS = ("debtor", "failing", "gifted", "held", "partial", "prompt", "refunded", "written")
#: 744 hours at 0.10 and as much in advance, with VAT.
ASKED = "178.56"


@dataclass
class Story:
    """January drafted and issued, then paid in every way, then February issued."""

    home: ProviderHome
    #: January's tables as they were drafted.
    drafts: pl.DataFrame = field(default_factory=pl.DataFrame)
    lines: pl.DataFrame = field(default_factory=pl.DataFrame)
    #: What was printed of prompt's draft.
    preview: str = ""
    #: What the commands said.
    said: dict[str, str] = field(default_factory=dict)

    def number(self, payer: str) -> str:
        return f"INV-2026-{OWNERS.index(payer) + 1:06d}"

    def states(self, payer: str, month: str = FEBRUARY) -> list[str]:
        rows = self.home.rows("invoices/states", month, number=self.number(payer))
        return [row["state"] for row in sorted(rows, key=lambda row: row["change_number"])]


def decide(home: ProviderHome, number: str, state: str, instant: str) -> str:
    return home.command("state", number, state, "--reason", "as agreed", "--author", "Ada", "--at", instant).output


@pytest.fixture(scope="module")
def story(new_home: Callable[..., ProviderHome]) -> Story:
    home = new_home("states")
    story = Story(home)
    home.land("organisations", *(organisation(owner) for owner in OWNERS))
    home.land("price_tiers", hourly("apps.s", "0.10"))
    home.land("runtime_intervals", *(ran(owner, "apps.s", at("2026-01-01"), None) for owner in OWNERS))
    home.land("credit_grants", grant("gifted", "GIFT", "1000.00"))
    home.close(JANUARY)
    story.drafts = home.generation("invoices/drafts", JANUARY).read()
    story.lines = home.generation("invoices/invoice_lines", JANUARY).read()
    story.preview = home.printed("2026-01/prompt")
    home.issue(JANUARY)
    home.land(
        "payments",
        payment("prompt", story.number("prompt"), ASKED, at("2026-02-10")),
        payment("partial", "partial/2026-01", "178.55", at("2026-02-11")),
        payment("failing", story.number("failing"), ASKED, at("2026-02-12"), outcome="failed"),
        payment("refunded", story.number("refunded"), ASKED, at("2026-02-05")),
        payment("refunded", story.number("refunded"), ASKED, at("2026-02-20"), outcome="refunded"),
        payment("debtor", story.number("debtor"), "1.00", at("2026-02-21"), outcome="refunded"),
    )
    story.said = {
        "processing": decide(home, story.number("failing"), "PROCESSING", "2026-02-07T00:00:00Z"),
        "hold": decide(home, "held/2026-01", "paymentheld", "2026-02-18T00:00:00Z"),
        "write off": decide(home, story.number("written"), "WONTPAY", "2026-02-19T00:00:00Z"),
        "again": decide(home, story.number("written"), "WONTPAY", "2026-02-19T00:00:00Z"),
        "illegal": decide(home, story.number("written"), "PENDING", "2026-02-20T00:00:00Z"),
        "too early": decide(home, story.number("held"), "PENDING", "2026-02-10T00:00:00Z"),
        "uncredited": decide(home, story.number("debtor"), "CANCELED", "2026-02-20T00:00:00Z"),
        "undated": home.command("state", story.number("debtor"), "WONTPAY", "--reason", "gone").output,
    }
    home.number(FEBRUARY)
    return story


@pytest.fixture(scope="module")
def home(story: Story) -> ProviderHome:
    return story.home


def test_an_issue_differs_from_its_draft_in_number_and_dates_only(story):
    invoices = story.home.generation("invoices/invoices", JANUARY).read()

    given = ("number", "issued_on", "due_on")
    assert invoices.drop(given).sort("payer_id").equals(story.drafts.drop(given))
    assert story.drafts.select(given).null_count().row(0) == (len(OWNERS),) * 3
    assert story.home.billing.settled("invoices/invoice_lines", Month.parse(JANUARY)).read().equals(story.lines)


def words(text: str, *own: str) -> Counter[str]:
    """The words of a document without what is its own; it must have that."""
    text = " ".join(text.split())
    for phrase in own:
        assert phrase in text, phrase
        text = text.replace(phrase, " ")
    return Counter(text.split())


def test_a_printed_issue_differs_from_its_draft_in_number_dates_and_mark_only(story):
    number = story.number("prompt")
    drafted = words(
        story.preview,
        "No number yet",
        "Issued Not yet",
        "Status Draft",
        "This is a draft: please do not pay it.",
        "For information only. The invoice that follows may differ and is the only one to be paid.",
        "Draft invoice",
        "DRAFT",
    )
    issued = words(
        story.home.printed(number),
        number,
        "Issued 2026-02-03",
        "Status Payment due",
        "Due on 2026-02-17",
        "Due 2026-02-17",
        # What is not a draft is to be paid, on these terms.
        "Payable by 2026-02-17. Late payment bears interest at three times the legal rate and a fixed recovery charge "
        "of €40 (articles L441-10 and D441-5 of the French commercial code). No discount for early payment.",
        "Invoice",
    )

    assert drafted == issued


@pytest.mark.parametrize(
    ("payer", "states"),
    [
        ("debtor", ["PENDING"]),
        ("failing", ["PENDING", "PROCESSING", "PENDING"]),
        ("gifted", ["PENDING", "PAID"]),
        ("held", ["PENDING", "PAYMENTHELD"]),
        ("partial", ["PENDING"]),
        ("prompt", ["PENDING", "PAID"]),
        ("refunded", ["PENDING", "PAID", "REFUNDED"]),
        ("written", ["PENDING", "WONTPAY"]),
    ],
)
def test_payments_and_people_move_an_invoice(story, payer, states):
    assert story.states(payer) == states
    assert story.states(payer, JANUARY) == ["PENDING", "PAID"][: 1 + (payer == "gifted")]


@pytest.mark.parametrize(
    ("payer", "prepaid", "pending"),
    [("prompt", 74_40, 0), ("partial", 0, 74_40), ("held", 0, 74_40), ("debtor", 0, 74_40), ("failing", 0, 74_40),
     ("written", 0, 0), ("refunded", 0, 0)],
)  # fmt: skip
def test_the_next_month_starts_from_the_states(home, payer, prepaid, pending):
    statement = home.row("credits/credit_statements", FEBRUARY, payer_id=payer)

    assert (statement["prepaid_before_cents"], statement["pending_cents"]) == (prepaid, pending)


def test_what_nobody_will_pay_is_asked_for_anew_and_revenue_is_conserved(home):
    for payer in ("written", "refunded"):
        assert home.row("credits/credit_statements", FEBRUARY, payer_id=payer)["refill_cents"] == 67_20
        [given_up] = home.rows("credits/credit_movements", FEBRUARY, payer_id=payer, kind="given_up")
        assert (given_up["grant_id"], given_up["amount_cents"]) == (JANUARY, 74_40)
        assert home.row("invoices/lifetimes", FEBRUARY, payer_id=payer)["given_up_cents"] == 74_40
    assert home.reasons(FEBRUARY) == {}


def test_a_refund_of_more_than_was_received_is_flagged_and_not_counted(home):
    [flag] = home.rows("invoices/flags", FEBRUARY, payer_id="debtor")

    assert flag["reason"] == "refund_excess"
    assert "debtor-INV-2026-000001-20260221 gives back more than was received for INV-2026-000001" in flag["detail"]


def test_money_given_back_after_the_close_is_told_in_the_month_that_sees_it(story, home):
    assert (story.states("refunded", JANUARY), story.states("refunded")[-1]) == (["PENDING"], "REFUNDED")
    assert home.row("invoices/invoices", JANUARY, payer_id="refunded")["payable_cents"] == 178_56
    assert home.rows("invoices/flags", FEBRUARY, payer_id="refunded") == []


def test_a_change_is_told_and_told_once(story):
    assert story.said["write off"] == "INV-2026-000008  2026-02-19T00:00:00Z  WONTPAY  as agreed (Ada)\n"
    assert story.said["again"] == story.said["write off"]
    assert story.said["hold"].startswith("INV-2026-000004  2026-02-18T00:00:00Z  PAYMENTHELD")


def test_a_change_that_cannot_be_is_refused_with_what_can(story):
    assert "INV-2026-000008 is WONTPAY and cannot become PENDING" in story.said["illegal"]
    assert "is PAYMENTHELD since 2026-02-18" in story.said["too early"]
    assert "'CANCELED' is not one of" in story.said["uncredited"]
    assert "WONTPAY needs --reason, --author and --at" in story.said["undated"]


def test_the_history_of_an_invoice_is_told_by_its_number_or_its_month(home):
    lines = home.command("state", "INV-2026-000002").output.splitlines()

    assert lines == [
        "INV-2026-000002  2026-02-03T00:00:00Z  PENDING  issued",
        "INV-2026-000002  2026-02-07T00:00:00Z  PROCESSING  as agreed (Ada)",
        "INV-2026-000002  2026-02-13T00:00:00Z  PENDING  the payment failed (payment failing-INV-2026-000002-20260212)",
    ]
    assert home.command("state", "failing/2026-01").output.splitlines() == lines
    assert "no document is called INV-2026-000099" in home.command("state", "INV-2026-000099").output


def test_states_are_read_as_of_an_instant(home):
    states = {day: home.billing.books.states(at(day)) for day in ("2026-02-02", "2026-02-04", "2026-02-12")}

    assert states["2026-02-02"] == {}
    assert states["2026-02-04"]["INV-2026-000006"] == "PENDING"
    assert states["2026-02-12"]["INV-2026-000006"] == "PAID"


def test_closing_again_moves_nothing_twice(home):
    before = home.billing.books.head()

    with home.environment():
        record_payments(home.billing, Month.parse(FEBRUARY), Refills.create_empty(), at("2026-03-03"))

    assert home.billing.books.head() == before


def test_an_untouched_home_is_verified_with_counts(home):
    told = home.command("verify")

    assert told.exit_code == 0
    head = home.billing.books.head()
    assert f"books: {head.seq} entries, head {head.seq}:{head.hash}" in told.output
    assert "register: 16 documents, 2 months issued" in told.output
    assert "documents: 24 files" in told.output
    assert told.output.endswith("everything is what was written\n")
    assert home.command("verify", "--head", f"{head.seq}:{head.hash}").exit_code == 0


def flipped(file: Path, place: int) -> Callable[[], None]:
    """Flip one bit of a file; call what is returned to flip it back."""

    def flip() -> None:
        content = bytearray(file.read_bytes())
        content[place] ^= 1
        with file.open("r+b") as opened:
            opened.write(content)

    flip()
    return flip


@pytest.mark.parametrize(
    ("pattern", "named"),
    [
        ("warehouse/rating/charges/month=2026-01/CURRENT", "month=2026-01/CURRENT does not name its manifest"),
        ("warehouse/rating/charges/month=2026-01/gen=*/MANIFEST.json", "MANIFEST.json is not what was published"),
        ("warehouse/rating/charges/month=2026-01/gen=*/rows.parquet", "rows.parquet is not what was published"),
        ("warehouse/accounts/payments/month=2026-02/gen=*/rows.parquet", "accounts/payments of month=2026-02: "),
        ("documents/drafts/2026-01/prompt.pdf", "documents/month_documents of month=2026-01: "),
        ("documents/INV/INV-2026-000006.pdf", "INV-2026-000006.pdf of INV-2026-000006 is not what was issued"),
        ("documents/INV/INV-2026-000003.html", "INV-2026-000003.html of INV-2026-000003 is not what was issued"),
        ("documents/INV/INV-2026-000004.xml", "INV-2026-000004.xml of INV-2026-000004 is not what was issued"),
    ],
)
def test_a_flipped_bit_is_named_by_its_file(home, pattern, named):
    file = next(iter(sorted(home.folder.glob(pattern))))
    restore = flipped(file, file.stat().st_size // 2)
    try:
        told = home.command("verify")
    finally:
        restore()

    assert told.exit_code == 1
    assert [line for line in told.output.splitlines() if named in line], told.output


def test_a_flipped_bit_in_the_books_is_named_by_its_entry(home):
    file = home.folder / "books.sqlite"
    place = file.read_bytes().index(b'"state":"PAYMENTHELD"')
    restore = flipped(file, place + 12)
    try:
        told = home.command("verify")
    finally:
        restore()

    assert told.exit_code == 1
    assert re.search(r"books: entry \d+ of the books is not what was written", told.output)


def test_a_lost_document_and_a_foreign_file_are_named(home):
    lost = home.folder / "documents" / "INV" / "INV-2026-000006.html"
    kept = lost.rename(lost.with_suffix(".kept"))
    foreign = next(home.folder.glob("warehouse/rating/charges/month=2026-01/gen=*")) / "more.parquet"
    foreign.write_bytes(b"more")
    try:
        told = home.command("verify").output
    finally:
        kept.rename(lost)
        foreign.unlink()

    assert f"documents: {lost} of INV-2026-000006 is missing; billing issue 2026-01 makes it again" in told
    assert f"{foreign} was never published" in told
    assert told.endswith("2 problems\n")


def test_invoices_published_otherwise_than_they_were_numbered_are_named(home):
    """Whoever writes the table anew, checksums and all, cannot write the books anew."""
    table = home.generation("invoices/invoices", JANUARY)
    dearer = table.read().with_columns(
        payable_cents=pl.when(pl.col("payer_id") == "prompt").then(1).otherwise("payable_cents")
    )
    current = table.path.parent / "CURRENT"
    before = current.read_bytes()
    home.billing.warehouse.publish("invoices/invoices", "month=2026-01", dearer, as_of=None)
    try:
        told = home.command("verify").output
    finally:
        current.write_bytes(before)

    assert "register: INV-2026-000006 has payable_cents 17856 in the books and 1 in invoices/invoices" in told
