"""Invoices and payments in double entry: which accounts move, and that what an organisation holds is what they show."""

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import HealthCheck, example, settings
from hypothesis import given as draws
from hypothesis import strategies as st

from billing_pipeline.rules.equations import (
    advances_are_held,
    entries_are_balanced,
    entries_are_numbered,
    invoices_are_journalled,
    receivables_are_open,
)
from billing_pipeline.rules.journal import (
    Postings,
    UnbalancedEntry,
    WrittenOff,
    assign_payments,
    enter_postings,
    held_balances,
    lacking_postings,
    letter_postings,
    post_documents,
    post_openings,
    post_payments,
    post_transfers,
    post_write_offs,
)
from billing_pipeline.settings import Settings
from billing_pipeline.tables.journal import Journal

CHART = Settings(_env_file=None).chart_of_accounts
NOVEMBER, DECEMBER = date(2026, 11, 3), date(2026, 12, 3)
TENTH = datetime(2026, 11, 10, tzinfo=UTC)
FIRST_DAY = date(2026, 10, 1)
START = datetime(2026, 10, 1, tzinfo=UTC)

#: The first statement that Clever Cloud published, with VAT as a French customer pays it: standards of accounting.
PUBLISHED = {
    "number": "INV-1", "fees_cents": 686_89, "prepaid_used_cents": -686_89, "refill_cents": 682_43, "vat_cents": 136_49,
}  # fmt: skip
#: Asks for 120.00, of which VAT is 20.00.
PLAIN = {"number": "INV-1", "fees_cents": 100_00, "vat_cents": 20_00}


@dataclass
class Books:
    """A journal that is written month by month."""

    given: SimpleNamespace
    chart: object = CHART
    organisations: tuple[dict, ...] = ({"owner_id": "acme"},)
    journal: pl.DataFrame = field(default_factory=Journal.create_empty)

    def write(self, *documents, payments=(), others=(), written_off=(), month="2026-10", on=NOVEMBER) -> "Books":
        new = pl.concat([post_documents(self.given.documents(*documents)), *others])
        lacking = lacking_postings(Postings.validate(new), self.journal)
        versions = self.given.organisations(*self.organisations)
        given_up = WrittenOff.validate(pl.DataFrame(list(written_off), schema=WrittenOff.create_empty().schema))
        known = self.given.payments(*payments)
        lost = post_write_offs(given_up, lacking, known, self.journal, versions, ())
        lacking = Postings.validate(pl.concat([lacking, lost]))
        paid = post_payments(known, lacking, self.journal, versions, self.chart, month, ZoneInfo("UTC"), ())
        names = versions.select(payer_id="owner_id", payer_name=pl.col("name").str.to_uppercase()).unique()
        entered = enter_postings(Postings.validate(pl.concat([lacking, paid])), self.journal, names, self.chart, on)
        self.journal = Journal.validate(pl.concat([self.journal, entered]))
        return self

    def postings(self, **where) -> list[tuple]:
        """Journal and number of the entry, account, debits less credits in cents."""
        rows = self.journal.sort("validated_on", "journal", "entry_number", "posting").filter(**where)
        return rows.select(
            pl.format("{}{}", "journal", "entry_number"), "account", pl.col("debit_cents") - pl.col("credit_cents")
        ).rows()

    def balance(self, role: str, payer: str = "acme") -> int:
        rows = self.journal.filter(pl.col("role").cast(pl.String) == role, payer_id=payer)
        return rows["debit_cents"].sum() - rows["credit_cents"].sum()

    def held(self, **lifetimes):
        """What the accounts must show; nothing is known of advances but what is named."""
        known = [{"payer_id": payer, **row} for payer, row in lifetimes.items()]
        schema = dict.fromkeys(("payer_id", "currency", "billed_month"), pl.String) | dict.fromkeys(
            ("prepaid_cents", "pending_cents"), pl.Int64
        )
        return pl.DataFrame(known, schema=schema)


@pytest.fixture
def books(given) -> Books:
    return Books(given)


def payment(cents: int, day: int = 10, name: str | None = None, **columns) -> dict:
    """A payment of INV-1 in November."""
    return {
        "payment_id": name or f"paid-{day}", "invoice_number": "INV-1", "paid_cents": cents,
        "received_at": datetime(2026, 11, day, tzinfo=UTC), **columns,
    }  # fmt: skip


# Invoices.


def test_the_published_invoice_asks_uses_credits_sells_the_refill_and_owes_vat_once_it_is_paid(books):
    books.write(PUBLISHED)

    assert books.postings() == [
        ("VE1", "411000", 818_92),
        ("VE1", "419100", 686_89),
        ("VE1", "419100", -682_43),
        ("VE1", "706000", -686_89),
        ("VE1", "445740", -136_49),
    ]


def test_paying_it_empties_the_receivable_and_makes_its_vat_due(books):
    books.write(PUBLISHED).write(payments=[payment(818_92)], month="2026-11", on=DECEMBER)

    assert books.postings(kind="payment") == [
        ("BQ1", "512000", 818_92),
        ("BQ1", "411000", -818_92),
        ("BQ1", "445740", 136_49),
        ("BQ1", "445710", -136_49),
    ]


def test_advances_are_the_prepaid_balance_and_the_pending_refill_before_and_after_it_is_paid(books, given):
    opening = {"kind": "opening", "grant_id": "brought", "amount_cents": 691_35}
    opened = given.opened(
        {"grant_id": "brought", "kind": "prepaid", "granted_cents": 691_35, "opened_month": "2026-10"}
    )
    books.write(PUBLISHED, others=[post_openings(given.movements(opening), opened, "2026-10", FIRST_DAY)])

    assert books.postings(kind="opening") == [("AN1", "419100", -691_35), ("AN1", "890000", 691_35)]
    assert -books.balance("advances") == 4_46 + 682_43 == 686_89
    books.write(payments=[payment(818_92)], month="2026-11", on=DECEMBER)
    assert -books.balance("advances") == 686_89


def test_free_credits_lower_revenue_when_they_are_used_and_nothing_else(books, given):
    books.write({"number": "INV-1", "fees_cents": 100_00, "free_used_cents": -20_00, "vat_cents": 16_00})
    movements = given.movements(
        {"kind": "opening", "grant_id": "coupon", "amount_cents": 50_00},
        {"kind": "free_used", "grant_id": "coupon", "amount_cents": -20_00},
        {"kind": "free_expired", "grant_id": "coupon", "amount_cents": -30_00},
    )
    opened = given.opened({"grant_id": "coupon", "granted_cents": 50_00, "opened_month": "2026-10"})

    assert books.postings() == [
        ("VE1", "411000", 96_00), ("VE1", "706000", -100_00), ("VE1", "709000", 20_00), ("VE1", "445740", -16_00),
    ]  # fmt: skip
    assert post_openings(movements, opened, "2026-10", FIRST_DAY).is_empty()


def test_an_invoice_of_nothing_makes_no_entry(books):
    assert books.write({"number": "INV-1"}).postings() == []


def test_an_entry_bears_its_document_and_its_organisation(books):
    (row, *_) = books.write(PLAIN).journal.to_dicts()

    assert (row["piece"], row["piece_on"], row["posted_on"], row["billing_month"]) == (
        "INV-1", NOVEMBER, NOVEMBER, "2026-10",
    )  # fmt: skip
    assert (row["payer_id"], row["payer_name"], row["label"]) == ("acme", "ACME", "Invoice INV-1, acme 2026-10")
    assert (row["kind"], row["role"], row["validated_on"]) == ("invoice", "receivable", NOVEMBER)


# Credit notes.


def note(**columns) -> dict:
    return {"number": "CN-1", "kind": "credit_note", "refers_to": "INV-1", "issued_on": DECEMBER} | columns


def test_a_credit_note_is_the_reverse_of_its_invoice(books):
    books.write(PUBLISHED).write(PUBLISHED | note(), month="2026-11", on=DECEMBER)

    assert books.postings(kind="credit_note") == [
        ("AV1", "411000", -818_92),
        ("AV1", "419100", 682_43),
        ("AV1", "419100", -686_89),
        ("AV1", "706000", 686_89),
        ("AV1", "445740", 136_49),
    ]
    assert {books.balance(role) for role in ("receivable", "advances", "revenue", "vat_pending")} == {0}
    assert books.journal.filter(kind="credit_note")["invoice_number"].unique().to_list() == ["INV-1"]


def test_a_credit_note_gives_credits_back_to_who_holds_them_now(books):
    books.write(PUBLISHED)
    back = {"fees_cents": 30_00, "prepaid_used_cents": -30_00, "vat_cents": 0, "refill_cents": 0, "holder_id": "group"}
    books.write(note(**back), on=DECEMBER)

    assert books.balance("advances", "group") == -30_00
    assert books.postings(kind="credit_note") == [("AV1", "419100", -30_00), ("AV1", "706000", 30_00)]


def test_what_a_credit_note_leaves_paid_waits_to_be_refunded_and_its_vat_is_due_no_more(books):
    books.write(PLAIN, payments=[payment(120_00)])
    books.write(PLAIN | note(fees_cents=50_00, vat_cents=10_00), payments=[payment(120_00)], on=DECEMBER)

    assert [books.balance(role) for role in ("receivable", "unassigned", "vat_pending", "vat_due")] == [
        0, -60_00, 0, -10_00,
    ]  # fmt: skip
    refund = payment(60_00, 20, outcome="refunded")
    books.write(payments=[payment(120_00), refund], on=DECEMBER)
    assert [books.balance(role) for role in ("bank", "receivable", "unassigned", "vat_due")] == [60_00, 0, 0, -10_00]


# Write-offs.


def given_up(refill=0, holder="acme") -> dict:
    return {
        "number": "INV-1", "posted_on": DECEMBER, "reason": "bankrupt", "refill_cents": refill, "holder_id": holder,
    }  # fmt: skip


def test_a_write_off_takes_the_claim_its_vat_and_its_refill_off_and_the_rest_is_a_loss(books):
    invoice = {"number": "INV-1", "fees_cents": 100_00, "refill_cents": 100_00, "vat_cents": 40_00}
    books.write(invoice).write(written_off=[given_up(100_00)], month="2026-11", on=DECEMBER)

    assert books.postings(kind="write_off") == [
        ("OD1", "411000", -240_00), ("OD1", "419100", 100_00), ("OD1", "445740", 40_00), ("OD1", "654000", 100_00),
    ]  # fmt: skip
    assert {books.balance(role) for role in ("receivable", "advances", "vat_pending")} == {0}
    assert books.journal.filter(kind="write_off")["label"][0] == "Write-off INV-1, acme: bankrupt"
    height = books.journal.height
    assert books.write(written_off=[given_up(100_00)], month="2026-12", on=DECEMBER).journal.height == height


def test_the_refill_of_a_write_off_is_taken_from_who_holds_it_and_a_cent_is_written_off_too(given):
    invoice = {"number": "INV-1", "refill_cents": 1}
    books = Books(given, organisations=({"owner_id": "acme"}, {"owner_id": "group"}))
    books.write(invoice).write(written_off=[given_up(1, "group")], month="2026-11", on=DECEMBER)

    entry = books.journal.filter(kind="write_off").select(pl.col("role").cast(pl.String), "payer_id", "debit_cents")
    assert sorted(entry.rows()) == [("advances", "group", 1), ("receivable", "acme", 0)]


@pytest.mark.parametrize(
    ("paid", "open_cents", "vat", "advance", "loss"),
    [(0, 240_00, 40_00, 100_00, 100_00), (60_00, 180_00, 30_00, 100_00, 50_00), (180_00, 60_00, 10_00, 50_00, 0)],
)
def test_what_was_paid_before_a_write_off_paid_fees_first(books, paid, open_cents, vat, advance, loss):
    invoice = {"number": "INV-1", "fees_cents": 100_00, "refill_cents": 100_00, "vat_cents": 40_00}
    part = [payment(paid)] if paid else []
    books.write(invoice, payments=part).write(payments=part, written_off=[given_up(100_00)], on=DECEMBER)

    balances = {role: books.balance(role) for role in ("receivable", "vat_pending", "advances", "losses", "vat_due")}
    assert balances == {
        "receivable": 0, "vat_pending": 0, "advances": advance - 100_00, "losses": loss, "vat_due": vat - 40_00,
    }  # fmt: skip
    assert -dict((row[1], row[2]) for row in books.postings(kind="write_off"))["411000"] == open_cents


def test_what_is_paid_after_a_write_off_waits(books):
    books.write(PLAIN).write(written_off=[given_up()], on=DECEMBER)
    books.write(payments=[payment(120_00, 28)], on=DECEMBER)

    assert [books.balance(role) for role in ("receivable", "unassigned", "losses")] == [0, -120_00, 100_00]


def test_what_was_written_off_is_no_claim_and_no_advance_any_more(books):
    invoice = {"number": "INV-1", "refill_cents": 100_00, "vat_cents": 20_00}
    books.write(invoice)
    known = {"prepaid_cents": 0, "pending_cents": 0, "given_up_cents": 100_00}
    assert advances_are_held(held(books, acme=known), books.journal).holds
    assert receivables_are_open(held(books), books.journal).holds

    books.write(written_off=[given_up(100_00)], on=DECEMBER)

    assert held(books, acme=known).select("advances_cents", "receivable_cents").rows() == [(0, 0)]
    assert advances_are_held(held(books, acme=known), books.journal).holds
    assert receivables_are_open(held(books), books.journal).holds


# Payments.


def test_parts_of_an_invoice_make_parts_of_its_vat_due_and_the_last_one_the_rest(books):
    books.write({"number": "INV-1", "fees_cents": 83, "vat_cents": 17})
    due = []
    for count in (1, 2, 3):
        paid = [payment(cents, day) for cents, day in ((33, 10), (33, 11), (34, 12))][:count]
        books.write(payments=paid, month="2026-11", on=DECEMBER)
        due.append(-books.balance("vat_due"))

    # 5.61 and 11.22 of 17 cents.
    assert due == [6, 11, 17]
    assert books.balance("receivable") == books.balance("vat_pending") == 0


def test_what_is_paid_beyond_an_invoice_waits_and_keeps_its_number(books):
    books.write(PLAIN, payments=[payment(130_00), payment(5_00, 11)])

    assert books.balance("receivable") == 0
    waiting = books.journal.filter(role="unassigned").select("piece", "credit_cents", "invoice_number").rows()
    assert waiting == [("paid-10", 10_00, "INV-1"), ("paid-11", 5_00, "INV-1")]


@pytest.mark.parametrize(
    "columns",
    [
        {"invoice_number": None, "reference": "thank you"},
        {"invoice_number": "INV-2"},
        {"owner_id": "stranger"},
        {"currency": "USD"},
    ],
    ids=lambda columns: next(iter(columns)),
)
def test_a_payment_that_names_no_invoice_of_its_sender_waits(books, columns):
    books.write(PLAIN, payments=[payment(120_00, **columns)])

    assert books.balance("receivable") == 120_00
    assert books.balance("unassigned", columns.get("owner_id", "acme")) == -120_00
    assert books.balance("vat_due") == 0


@pytest.mark.parametrize(
    "columns", [{"invoice_number": "INV-1"}, {"reference": "INV-1"}, {"reference": "acme/2026-10"}]
)
def test_a_payment_names_an_invoice_by_its_number_or_by_payer_and_month(books, columns):
    books.write(PLAIN, payments=[payment(120_00) | {"invoice_number": None} | columns])

    assert books.balance("receivable") == 0


def test_organisations_of_the_payer_and_who_pays_for_it_now_may_pay(given):
    branches = ({"owner_id": "acme"}, {"owner_id": "branch", "payer_id": "acme"})
    by_branch = Books(given, organisations=branches).write(PLAIN, payments=[payment(120_00, owner_id="branch")])
    taken_over = ({"owner_id": "group"}, {"owner_id": "acme", "payer_id": "group"})
    by_group = Books(given, organisations=taken_over).write(PLAIN, payments=[payment(120_00, owner_id="group")])

    assert by_branch.balance("receivable") == by_group.balance("receivable") == 0


def test_a_payment_of_a_sub_organisation_that_names_nothing_waits_under_its_payer(given):
    branches = ({"owner_id": "acme"}, {"owner_id": "branch", "payer_id": "acme"})
    books = Books(given, organisations=branches)
    books.write(payments=[payment(5_00, invoice_number=None, owner_id="branch")])

    assert books.balance("unassigned") == books.balance("bank") * -1 == -5_00


def test_a_payment_waits_under_who_paid_for_its_sender_last_and_stays_there_when_that_changes(given):
    versions = (
        {"owner_id": "branch", "payer_id": "former", "valid_from": START, "valid_to": START + timedelta(days=9)},
        {"owner_id": "branch", "payer_id": "acme", "valid_from": START + timedelta(days=9)},
    )
    books = Books(given, organisations=({"owner_id": "acme"}, {"owner_id": "former"}, *versions))
    early = payment(5_00, invoice_number=None, owner_id="branch")
    books.write(payments=[early])
    height = books.journal.height
    books.organisations = ({"owner_id": "acme"}, {"owner_id": "branch"})

    assert set(books.journal.filter(role="unassigned")["payer_id"]) == {"acme"}
    assert books.write(payments=[early], on=DECEMBER).journal.height == height


def test_a_payment_that_waited_for_its_invoice_moves_without_touching_the_bank(books):
    early = payment(120_00, 1, reference="acme/2026-10", invoice_number=None)
    books.write(payments=[early]).write(PLAIN, payments=[early], on=DECEMBER)

    assert books.postings(journal="OD") == [
        ("OD1", "411000", -120_00), ("OD1", "445740", 20_00), ("OD1", "445710", -20_00), ("OD1", "471000", 120_00),
    ]  # fmt: skip
    assert books.balance("bank") == 120_00


def test_a_withdrawn_payment_is_taken_back_and_a_failed_one_is_none(books):
    books.write(PLAIN, payments=[payment(120_00)])
    assert books.balance("receivable") == 0

    books.write(payments=[payment(120_00, outcome="failed")], on=DECEMBER)

    assert [books.balance(role) for role in ("bank", "receivable", "vat_due", "vat_pending")] == [0, 120_00, 0, -20_00]
    assert books.postings(journal="BQ")[-4:] == [
        ("BQ2", "512000", -120_00), ("BQ2", "411000", 120_00), ("BQ2", "445740", -20_00), ("BQ2", "445710", 20_00),
    ]  # fmt: skip


def test_a_matched_payment_stays_with_its_invoice_when_its_sender_moves_away(given):
    books = Books(given, organisations=({"owner_id": "acme"}, {"owner_id": "branch", "payer_id": "acme"}))
    paid = payment(120_00, owner_id="branch")
    books.write(PLAIN, payments=[paid])
    before = books.journal.height
    books.organisations = ({"owner_id": "acme"}, {"owner_id": "branch"})

    assert books.write(payments=[paid], on=DECEMBER).journal.height == before


@pytest.mark.parametrize(("name", "paid"), [("acme/2026-10", "INV-2"), ("INV-1", "INV-1")])
def test_a_payment_of_a_month_whose_invoice_is_issued_again_goes_to_the_new_one(given, name, paid):
    told = payment(50_00, invoice_number=None, reference=name)
    before = Books(given).write(PLAIN, payments=[told])
    taken_back = PLAIN | {"number": "CN-1", "kind": "credit_note", "refers_to": "INV-1"}
    new = PLAIN | {"number": "INV-2", "vat_cents": 0}
    journal = before.write(taken_back, new, month="2026-11", on=DECEMBER).journal
    invoices = journal.filter(kind="invoice").select("invoice_number", "payer_id", "billing_month", "currency").unique()

    versions = given.organisations({"owner_id": "acme"})
    assigned = assign_payments(given.payments(told), invoices, journal, versions, ["INV-1"])

    assert assigned["invoice_number"].to_list() == [paid]


def test_a_payment_is_booked_on_its_day_in_the_billing_time_zone(given, books):
    late = datetime(2026, 11, 9, 23, 30, tzinfo=UTC)
    paid = given.payments(payment(1_00, received_at=late))
    versions = given.organisations({"owner_id": "acme"})
    days = [
        post_payments(paid, Postings.create_empty(), books.journal, versions, CHART, "2026-10", ZoneInfo(zone), ())
        for zone in ("UTC", "Europe/Paris")
    ]

    assert [rows["posted_on"].unique().to_list() for rows in days] == [[date(2026, 11, 9)], [date(2026, 11, 10)]]


def test_one_vat_account_makes_vat_due_with_the_invoice(given):
    books = Books(given, replace(CHART, vat_pending=CHART.vat_due)).write(PLAIN, payments=[payment(120_00)])

    assert [row for row in books.postings() if row[1].startswith("445")] == [("VE1", "445710", -20_00)]


def test_writing_what_is_written_adds_nothing(books):
    books.write(PUBLISHED, payments=[payment(500_00)])
    before = books.journal.height

    assert books.write(PUBLISHED, payments=[payment(500_00)], on=DECEMBER).journal.height == before


_PAYMENTS = st.lists(
    st.tuples(st.integers(1, 200_00), st.sampled_from(["succeeded", "refunded", "failed"]), st.integers(1, 28)),
    max_size=6,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@draws(rows=_PAYMENTS, cut=st.integers(0, 6), vat=st.integers(0, 30_00))
@example(rows=[(60_00, "succeeded", 9), (60_00, "succeeded", 3), (30_00, "refunded", 5)], cut=1, vat=20_00)
def test_whatever_is_paid_in_whatever_order_it_is_known_the_accounts_are_the_same(given, rows, cut, vat):
    paid = [payment(cents, day, f"p{number}", outcome=outcome) for number, (cents, outcome, day) in enumerate(rows)]
    document = {"number": "INV-1", "fees_cents": 100_00, "vat_cents": vat}
    at_once = Books(given).write(document, payments=paid)
    in_two = Books(given).write(document, payments=paid[:cut]).write(document, payments=paid, on=DECEMBER)

    roles = ("bank", "receivable", "unassigned", "vat_pending", "vat_due", "revenue")
    balances = {role: at_once.balance(role) for role in roles}
    assert {role: in_two.balance(role) for role in roles} == balances
    assert 0 <= balances["receivable"] <= 100_00 + vat
    assert 0 <= -balances["vat_due"] <= vat
    assert balances["bank"] == sum(cents * {"succeeded": 1, "refunded": -1, "failed": 0}[how] for cents, how, _ in rows)
    assert all(entries_are_balanced(books.journal).holds for books in (at_once, in_two))
    assert entries_are_numbered(in_two.journal).holds


# Entries.


def test_each_journal_numbers_its_entries_on_from_where_it_stands(books):
    books.write(PLAIN | {"number": "INV-2"}, PLAIN, payments=[payment(1_00, 11), payment(1_00, 10)])
    books.write(PLAIN | {"number": "INV-3"}, payments=[payment(1_00, 11), payment(1_00, 10), payment(1_00, 9)])

    numbered = books.journal.select("journal", "entry_number", "piece").unique().sort("journal", "entry_number").rows()
    assert numbered == [
        ("BQ", 1, "paid-10"), ("BQ", 2, "paid-11"), ("BQ", 3, "paid-9"),
        ("VE", 1, "INV-1"), ("VE", 2, "INV-2"), ("VE", 3, "INV-3"),
    ]  # fmt: skip


def test_no_entry_is_validated_before_one_that_was_written_earlier(books):
    books.write(PLAIN, on=NOVEMBER).write(PLAIN | {"number": "INV-2"}, on=DECEMBER)
    books.write(PLAIN | {"number": "INV-3"}, on=NOVEMBER)

    assert books.journal["validated_on"].unique(maintain_order=True).to_list() == [NOVEMBER, DECEMBER]
    assert books.journal.filter(invoice_number="INV-3")["validated_on"].unique().to_list() == [DECEMBER]


def test_an_entry_that_does_not_balance_is_refused_with_what_is_wrong(given, books):
    postings = post_documents(given.documents(PLAIN))
    wrong = Postings.validate(postings.filter(pl.col("role") != "vat_pending"))

    with pytest.raises(
        UnbalancedEntry, match=r"1 entries are not balanced, first invoice INV-1 .*debits are 2,000 more"
    ):
        enter_postings(wrong, books.journal, pl.DataFrame({"payer_id": [], "payer_name": []}), CHART, NOVEMBER)


def test_receivables_are_lettered_once_they_cancel_out(books):
    books.write(PLAIN, PLAIN | {"number": "INV-2"}, payments=[payment(50_00)])
    books.write(payments=[payment(50_00), payment(70_00, 11)], on=DECEMBER)

    lettered = letter_postings(books.journal).drop_nulls("lettering")
    assert lettered.select("journal", "entry_number", "account", "lettering", "lettered_on").rows() == [
        (journal, number, "411000", "INV-1", DECEMBER) for journal, number in (("BQ", 1), ("BQ", 2), ("VE", 1))
    ]
    # What was known when it was written: the last payment settles.
    assert books.journal.drop_nulls("lettering").select("journal", "entry_number").rows() == [("BQ", 2)]


# Take-overs.


def test_the_advances_of_who_pays_no_more_pass_to_who_pays_for_it_and_its_debt_stays(given, books):
    movements = given.movements(
        {"payer_id": "group", "kind": "transferred_in", "grant_id": "prepaid of acme", "amount_cents": 4_46},
        {"payer_id": "group", "kind": "transferred_in", "grant_id": "coupon", "amount_cents": 9_00},
    )
    refills = given.refills(
        {"billing_month": "2026-10", "refill_cents": 682_43, "payable_cents": 818_92},
        {"payer_id": "other", "billing_month": "2026-10", "refill_cents": 5_00, "payable_cents": 6_00},
    )
    takeovers = given.takeovers({"payer_id": "acme", "successor_id": "group"})
    moved = post_transfers(movements, refills, takeovers, "2026-11", date(2026, 11, 1))
    books.write(PUBLISHED).write(others=[moved], month="2026-11", on=DECEMBER)

    assert books.postings(kind="transfer") == [("OD1", "419100", 686_89), ("OD1", "419100", -686_89)]
    assert books.journal.filter(kind="transfer")["payer_id"].to_list() == ["acme", "group"]
    assert books.balance("receivable") == 818_92


# What the accounts must show.


def held(books: Books, *, payments=(), takeovers=(), **lifetimes):
    """From a register with INV-1 of 120.00 and what lifetimes tell."""
    register = pl.DataFrame(
        {
            "invoice_number": ["INV-1"], "payer_id": ["acme"], "billing_month": ["2026-10"], "currency": ["EUR"],
            "payable_cents": [120_00],
        }
    )  # fmt: skip
    known = [
        {
            "currency": "EUR",
            "billed_month": "2026-10",
            "payer_id": payer,
            "given_up_cents": 0,
            "pending_top_ups_cents": 0,
        }
        | row
        for payer, row in lifetimes.items()
    ]
    names = (
        "payer_id",
        "currency",
        "billed_month",
        "prepaid_cents",
        "pending_cents",
        "given_up_cents",
        "pending_top_ups_cents",
    )
    schema = {name: pl.Int64 if name.endswith("_cents") else pl.String for name in names}
    return held_balances(
        register,
        books.given.payments(*payments),
        pl.DataFrame(known, schema=schema),
        books.journal,
        books.given.organisations(*books.organisations),
        books.given.takeovers(*takeovers),
        "2026-10",
        (),
    )


def test_receivables_are_what_the_register_asks_for_less_what_was_paid(books):
    part = [payment(50_00), payment(9_00, 11, outcome="failed")]
    books.write(PLAIN, payments=part)

    assert held(books)["receivable_cents"].to_list() == [120_00]
    assert held(books, payments=part)["receivable_cents"].to_list() == [70_00]
    assert held(books, payments=[payment(500_00)])["receivable_cents"].to_list() == [0]
    assert receivables_are_open(held(books, payments=part), books.journal).holds
    refuted = receivables_are_open(held(books), books.journal)
    assert not refuted.holds
    assert "1 differ, first acme (12,000 and 7,000)" in refuted.sentence


def test_advances_are_known_of_those_who_have_a_statement_of_the_month_and_of_those_taken_over(books):
    books.write({"number": "INV-1", "refill_cents": 100_00, "vat_cents": 20_00})
    known = {"prepaid_cents": 40_00, "pending_cents": 60_00}

    assert held(books, acme=known)["advances_cents"].to_list() == [100_00]
    assert held(books, acme=known | {"billed_month": "2026-09"})["advances_cents"].to_list() == [None]
    assert held(books, takeovers=[{"payer_id": "acme", "successor_id": "group"}])["advances_cents"].to_list() == [0]
    assert advances_are_held(held(books, acme=known), books.journal).holds
    assert not advances_are_held(held(books, acme=known | {"pending_cents": 60_01}), books.journal).holds


def test_an_invoice_that_the_journal_lacks_or_tells_otherwise_is_seen(given, books):
    books.write(PLAIN)
    told = invoices_are_journalled(given.documents(PLAIN), books.journal)
    lacking = invoices_are_journalled(given.documents(PLAIN, PLAIN | {"number": "INV-2"}), books.journal)
    other = invoices_are_journalled(given.documents(PLAIN | {"vat_cents": 20_01}), books.journal)

    assert told.holds
    assert told.figures == {"payable_cents": 120_00, "receivable_cents": 120_00, "differing": 0}
    assert (lacking.holds, other.holds) == (False, False)
    assert "first INV-2 (12,000 and 0)" in lacking.sentence


def test_a_lost_posting_a_lost_entry_and_a_day_that_goes_back_are_seen(books):
    books.write(PLAIN).write(PLAIN | {"number": "INV-2"}, on=DECEMBER)
    last = pl.col("entry_number") == 2

    assert not entries_are_balanced(books.journal.filter(~(last & (pl.col("posting") == 1)))).holds
    assert not entries_are_numbered(books.journal.filter(last)).holds
    back = pl.when(last).then(pl.lit(NOVEMBER - timedelta(days=1))).otherwise("validated_on")
    assert not entries_are_numbered(books.journal.with_columns(validated_on=back)).holds
    assert entries_are_balanced(books.journal).holds
    assert entries_are_numbered(books.journal).holds


def test_the_months_name_pays_the_monthly_invoice_and_nothing_beside_it(given):
    invoices = pl.DataFrame(
        [
            {"invoice_number": number, "payer_id": "acme", "billing_month": "2026-10", "currency": "EUR"}
            for number in ("INV-1", "INV-2")
        ]
    )
    paid = given.payments({"payment_id": "p", "owner_id": "acme", "reference": "acme/2026-10", "paid_cents": 1_00})
    versions = given.organisations({"owner_id": "acme"})
    assigned = assign_payments(paid, invoices, Journal.create_empty(), versions, ["INV-1"])
    assert assigned["invoice_number"].to_list() == ["INV-2"]
