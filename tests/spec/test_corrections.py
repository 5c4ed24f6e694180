"""How an issued month differs from what was billed, how an invoice books that, and what a credit note gives back.

Also of an invoice that is cancelled: all of it, but what was taken off it before; and of one that is issued again for
the party of today: all of it, and no credits move.
"""

from datetime import UTC, date, datetime
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing_pipeline.rules.corrections import book_corrections, compare_lines
from billing_pipeline.rules.credit_notes import (
    CorrectedInvoice,
    CreditedInvoice,
    HeldPrepaid,
    draft_credit_notes,
    prepaid_given_back,
    uncredited_lines,
)
from billing_pipeline.rules.issuing import number_documents
from billing_pipeline.rules.parties import Seller
from billing_pipeline.rules.period import Month
from billing_pipeline.rules.refunds import Sale, find_sales, find_unspent
from billing_pipeline.rules.reissuing import draft_reissues
from billing_pipeline.rules.tax import VatRate, decide_taxes
from billing_pipeline.tables.accounts import Organisations
from billing_pipeline.tables.corrections import Differences, GivenBack
from billing_pipeline.tables.credits import CreditLots, CreditStatements, Fees
from billing_pipeline.tables.invoices import InvoiceLines, Invoices, ReissuedInvoices

JANUARY, MARCH = Month(2026, 1), Month(2026, 3)
OLD = "INV-2026-000001"
RATES = [VatRate("FR", "standard", 200_000, date(2014, 1, 1), None)]


def table(schema, rows, defaults):
    """Rows of a table, what a case does not say filled in."""
    types = {
        name: pl.String if isinstance(kind, pl.Enum) else kind for name, kind in schema.create_empty().schema.items()
    }
    return schema.validate(
        pl.DataFrame([dict.fromkeys(types) | defaults | row for row in rows], schema=types), cast=True
    )


def key(number):
    return f"{number:032d}"


def lines(*rows):
    """Lines of an invoice: `n` is the line, `seconds` at a price of 0.01 a second unless it says otherwise."""
    told = []
    for place, row in enumerate(rows, 1):
        n, seconds = row.pop("n"), row.pop("seconds", 0)
        told.append(
            {
                "line_id": key(n),
                "line_number": place,
                "quantity": seconds,
                "duration_s": seconds,
                "amount_cents": seconds,
            }
            | row
        )
    return table(InvoiceLines, told, {
        "payer_id": "acme", "owner_id": "acme", "owner_name": "Acme", "resource_id": "app", "slug": "apps.s",
        "zone": "par", "price_id": "list", "price_factor_ppm": 10**6, "tier_from": 0, "origin_month": "2026-01",
        "basis": "runtime", "unit": "s", "unit_price": Decimal("0.01"), "per_quantity": 1, "per_seconds": 1,
        "line_discount_ppm": 0, "currency": "EUR", "resources": 1,
    })  # fmt: skip


def compared(billed, rated, approved=None):
    approved = Differences.create_empty() if approved is None else approved
    return compare_lines(billed, approved, rated, JANUARY)


def told(differences):
    return {row["line_id"][-1]: (row["cause"], row["difference_cents"]) for row in differences.iter_rows(named=True)}


def test_more_usage_is_late_less_is_withdrawn_and_equal_lines_are_left_out():
    billed = lines({"n": 1, "seconds": 100}, {"n": 2, "seconds": 100}, {"n": 3, "seconds": 100}, {"n": 4, "seconds": 7})
    rated = lines(
        {"n": 1, "seconds": 130},
        {"n": 2, "seconds": 60},
        {"n": 3, "seconds": 100},
        {"n": 5, "seconds": 9, "resource_id": "b"},
    )

    differences = compared(billed, rated)

    assert told(differences) == {"1": ("late", 30), "2": ("withdrawn", -40), "4": ("withdrawn", -7), "5": ("late", 9)}


def test_another_unit_price_or_price_version_is_a_price():
    billed = lines({"n": 1, "seconds": 100}, {"n": 2, "seconds": 50, "resource_id": "b"})
    rated = lines(
        {"n": 1, "seconds": 100, "unit_price": Decimal("0.02"), "amount_cents": 200},
        {"n": 3, "seconds": 50, "resource_id": "b", "price_id": "own", "amount_cents": 40},
    )

    assert told(compared(billed, rated)) == {"1": ("price", 100), "2": ("price", -50), "3": ("price", 40)}


def test_usage_of_another_owner_or_payer_is_an_owner():
    billed = lines({"n": 1, "seconds": 100})
    rated = lines({"n": 2, "seconds": 100, "owner_id": "labs", "payer_id": "zeta"})

    differences = compared(billed, rated)

    assert told(differences) == {"1": ("owner", -100), "2": ("owner", 100)}
    assert dict(differences.select("line_id", "payer_id").iter_rows()) == {key(1): "acme", key(2): "zeta"}


def test_the_line_of_a_discount_follows_the_lines_that_it_lowers():
    rule = {"n": 1, "basis": "discount", "rule_kind": "discount", "rule_rate_ppm": 100_000, "price_id": None}

    def discount(cents, **changes):
        return lines(rule | {"quantity": -1, "duration_s": None, "amount_cents": cents} | changes)

    assert told(compared(discount(-10), discount(-13))) == {"1": ("late", -3)}
    assert told(compared(discount(-10), discount(-4))) == {"1": ("withdrawn", 6)}
    assert told(compared(discount(-10), discount(-20, rule_rate_ppm=200_000))) == {"1": ("price", -10)}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(0, 300), min_size=3, max_size=3), min_size=2, max_size=4))
def test_whatever_was_approved_before_original_and_corrections_are_the_last_rating(ratings):
    def rating(seconds):
        return lines(*({"n": n, "seconds": cents} for n, cents in enumerate(seconds) if cents))

    billed, approved = rating(ratings[0]), Differences.create_empty()
    for later in ratings[1:]:
        approved = pl.concat([approved, compared(billed, rating(later), approved)])

    total = dict(enumerate(ratings[0]))
    for row in approved.iter_rows(named=True):
        total[int(row["line_id"])] += row["difference_cents"]
    assert list(total.values()) == ratings[-1]
    assert compared(billed, rating(ratings[-1]), approved).is_empty()


def fees(*rows):
    numbered = [
        {"line_id": key(number), "charge_cents": row["fee_cents"]} | row for number, row in enumerate(rows, 100)
    ]
    return table(Fees, numbered, {
        "payer_id": "acme", "slug": "apps.s", "is_recurring": True, "discount_cents": 0, "correction_cents": 0,
    })  # fmt: skip


def due(*cents, slug="apps.s"):
    """Differences of January that were approved by entry 7."""
    billed = lines(*({"n": n, "seconds": -c, "slug": slug} for n, c in enumerate(cents) if c < 0))
    rated = lines(*({"n": n, "seconds": c, "slug": slug} for n, c in enumerate(cents) if c > 0))
    return compared(billed, rated).with_columns(approval=pl.lit(7, pl.Int64), corrected_payer_id="payer_id")


def test_a_positive_correction_is_a_line_that_does_not_recur():
    booked = book_corrections(due(30), fees({"fee_cents": 100}), MARCH)

    (line,) = booked.lines.to_dicts()
    assert (line["amount_cents"], line["origin_month"], line["billed_cents"], line["rated_cents"]) == (
        30,
        "2026-01",
        0,
        30,
    )
    assert dict(booked.fees.select("fee_cents", "is_recurring").iter_rows()) == {100: True, 30: False}
    assert booked.left_over.is_empty()


def test_a_negative_correction_lowers_lines_of_its_slug_before_others():
    own = fees({"fee_cents": 100, "slug": "disk"}, {"fee_cents": 20, "slug": "apps.s"})

    booked = book_corrections(due(-30), own, MARCH)

    lowered = {row["slug"]: (row["fee_cents"], row["correction_cents"]) for row in booked.fees.iter_rows(named=True)}
    assert lowered == {"apps.s": (0, -20), "disk": (90, -10)}
    assert booked.shares["share_cents"].sum() == -30
    assert booked.lines["amount_cents"].to_list() == [-30]


def test_fees_never_fall_below_zero_and_the_rest_is_left_over():
    booked = book_corrections(due(-30, -40, 10), fees({"fee_cents": 25}), MARCH)

    assert booked.fees["fee_cents"].sum() == 0
    assert booked.lines["amount_cents"].sum() == -25
    assert booked.left_over["credit_cents"].sum() == 70 - 35


def differing(billed, rated, *, owner="acme"):
    """Differences of one line of January that were approved by entry 7."""
    found = compared(lines({"n": 1, "seconds": billed}), lines({"n": 1, "seconds": rated}))
    return found.with_columns(approval=pl.lit(7, pl.Int64), corrected_payer_id=pl.lit(owner))


@pytest.mark.parametrize(("cents", "fee", "booked_cents", "credited"), [
    (1, 1, [1], []), (-1, 1, [-1], []), (-2, 1, [-1], [1]), (-1, 0, [], [1]),
])  # fmt: skip
def test_a_cent_is_booked_and_left_over_like_any_other_amount(cents, fee, booked_cents, credited):
    booked = book_corrections(due(cents), fees({"fee_cents": fee}), MARCH)

    assert booked.lines["amount_cents"].to_list() == booked_cents
    assert booked.left_over["credit_cents"].to_list() == credited
    assert booked.shares["share_cents"].to_list() == [cents for cents in booked_cents if cents < 0]


def test_a_correction_lowers_any_line_where_its_slug_has_none():
    booked = book_corrections(
        due(-30), fees({"fee_cents": 20, "slug": "disk"}, {"fee_cents": 20, "slug": "mail"}), MARCH
    )

    assert booked.fees["fee_cents"].to_list() == [0, 10]
    assert booked.shares.select("line_id", "share_cents").rows() == [(key(100), -20), (key(101), -10)]


def test_a_line_that_corrects_says_what_changes():
    (line,) = book_corrections(differing(100, 70), fees({"fee_cents": 100}), MARCH).lines.to_dicts()

    assert (line["quantity"], line["duration_s"], line["amount_cents"]) == (-30, -30, -30)


@pytest.mark.parametrize(("sign", "seconds"), [(1, 30), (-1, -30)])
def test_usage_that_is_new_or_gone_changes_by_all_of_it(sign, seconds):
    (line,) = book_corrections(due(sign * 30), fees({"fee_cents": 100}), MARCH).lines.to_dicts()

    assert (line["quantity"], line["duration_s"]) == (seconds, seconds)


def test_as_much_usage_for_another_amount_is_a_price():
    """A tier's entry price is charged once; its line has no quantity of its own."""
    differences = compared(lines({"n": 1, "seconds": 100}), lines({"n": 1, "seconds": 100, "amount_cents": 120}))

    assert told(differences) == {"1": ("price", 20)}


def test_the_price_that_was_approved_last_is_the_one_that_was_billed():
    billed, dearer = lines({"n": 1, "seconds": 100}), {"n": 1, "seconds": 100, "unit_price": Decimal("0.02")}
    approved = compared(billed, lines(dearer | {"amount_cents": 200}))

    more = compared(billed, lines(dearer | {"seconds": 110, "amount_cents": 220}), approved)

    assert told(more) == {"1": ("late", 20)}


def test_usage_that_was_approved_and_is_gone_was_billed_for_all_of_its_time():
    approved = compared(lines(), lines({"n": 1, "seconds": 100}))

    (gone,) = compared(lines(), lines(), approved).to_dicts()

    assert (gone["billed_duration_s"], gone["rated_duration_s"], gone["difference_cents"]) == (100, None, -100)


def test_corrections_that_lie_side_by_side_share_no_line():
    booked = book_corrections(due(-20, -10), fees({"fee_cents": 20}, {"fee_cents": 20}), MARCH)

    shares = booked.shares.sort("line_id").select("line_id", "share_cents")
    assert shares.rows() == [(key(100), -20), (key(101), -10)]


def test_what_was_withdrawn_and_approved_was_billed_for_no_time():
    billed = lines({"n": 1, "seconds": 100}, {"n": 2, "seconds": 5, "duration_s": None})
    withdrawn = compared(billed, lines())

    back = compared(billed, billed, withdrawn).sort("line_id")

    said = ("billed_quantity", "billed_duration_s", "rated_duration_s", "billed_cents", "difference_cents")
    assert back.select(said).rows() == [(0, 0, 100, 0, 100), (0, None, None, 0, 5)]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-200, 200).filter(bool), min_size=1, max_size=6), st.lists(st.integers(1, 150), max_size=4))
def test_what_is_booked_and_left_over_is_what_was_due(cents, own):
    charged = fees(*({"fee_cents": c, "slug": ("apps.s", "disk")[c % 2]} for c in own))

    booked = book_corrections(due(*cents), charged, MARCH)

    credit = int(booked.left_over["credit_cents"].sum())
    assert booked.lines["amount_cents"].sum() - credit == sum(cents)
    assert booked.fees["fee_cents"].sum() == sum(own) + booked.lines["amount_cents"].sum() >= 0
    assert credit == max(0, -(sum(own) + sum(cents)))
    assert booked.fees["fee_cents"].min() in (None, *range(1_000))


def paid_invoice(refill=0):
    """100.00 of January: 20.00 and 10.00 paid by two coupons, 30.00 by prepaid credits, 40.00 asked for with VAT."""
    at = datetime(2025, 1, 1, tzinfo=UTC)
    lots = table(CreditLots, [
        {"grant_id": "first", "used_cents": -20_00, "left_before_cents": 20_00, "left_after_cents": 0, "priority": 1},
        {"grant_id": "last", "used_cents": -10_00, "left_before_cents": 15_00, "left_after_cents": 5_00, "priority": 2},
    ], {"payer_id": "acme", "name": "Coupon", "starts_at": at, "granted_cents": 20_00, "expired_cents": 0})  # fmt: skip
    zeros = {name: 0 for name in CreditStatements.column_names() if name.endswith("_cents")}
    figures = {
        "fees_cents": 100_00, "free_before_cents": 35_00, "prepaid_before_cents": 30_00, "balance_before_cents": 65_00,
        "free_used_cents": -30_00, "prepaid_used_cents": -30_00, "balance_after_cents": 5_00 + refill,
        "change_cents": refill - 60_00, "refill_cents": refill,
    }  # fmt: skip
    statement = zeros | figures | {"payer_id": "acme", "recurring_1_before_cents": None}
    invoice = dict.fromkeys(Invoices.column_names()) | {
        "payer_id": "acme", "kind": "invoice", "number": "INV-2026-000001", "billing_month": "2026-01",
        "period_start": date(2026, 1, 1), "period_end": date(2026, 1, 31), "issued_on": date(2026, 2, 3),
        "currency": "EUR", "vat_ppm": 200_000, "vat_reason": "home", "vat_scheme": "domestic", "vat_category": "S",
        "vat_note": "French VAT", "name": "Acme", "party_kind": "business",
        "address_line1": "1 rue", "postcode": "44000", "city": "Nantes", "country": "FR", "language": "en",
        "discount_ppm": 0, "basis_hash": "x", "subtotal_cents": 40_00 + refill,
        "vat_cents": (40_00 + refill) // 5,
    }  # fmt: skip
    return {"INV-2026-000001": CorrectedInvoice(invoice, statement, lots)}


def credited(cents, before=None):
    left_over = book_corrections(due(-cents), fees(), MARCH).left_over
    return draft_credit_notes(left_over, paid_invoice(), GivenBack.create_empty() if before is None else before, MARCH)


@pytest.mark.parametrize(
    ("cents", "money", "prepaid", "lots"),
    [
        (25_00, 25_00, 0, {}),
        (45_00, 40_00, 5_00, {}),
        (75_00, 40_00, 30_00, {"last": 5_00}),
        (95_00, 40_00, 30_00, {"last": 10_00, "first": 15_00}),
        # What a later invoice had added is money again.
        (103_00, 43_00, 30_00, {"last": 10_00, "first": 20_00}),
    ],
)
def test_credits_are_given_back_in_the_reverse_order_of_use(cents, money, prepaid, lots):
    drafted = credited(cents)

    (note,) = drafted.notes.to_dicts()
    assert (note["fees_cents"], note["subtotal_cents"], note["prepaid_given_back_cents"]) == (cents, money, prepaid)
    assert note["vat_cents"] == money // 5
    assert note["free_given_back_cents"] == sum(lots.values())
    assert (note["kind"], note["refers_to"], note["refers_to_issued_on"]) == (
        "credit_note",
        "INV-2026-000001",
        date(2026, 2, 3),
    )
    given = dict(drafted.given_back.select("grant_id", "amount_cents").iter_rows())
    assert {name: c for name, c in given.items() if name not in ("", "prepaid")} == lots
    assert drafted.lots["grant_id"].to_list() == sorted(lots)
    assert drafted.lines["amount_cents"].sum() == cents


def test_a_credited_line_says_how_much_less_was_used():
    left_over = book_corrections(differing(100, 70), fees(), MARCH).left_over

    drafted = draft_credit_notes(left_over, paid_invoice(), GivenBack.create_empty(), MARCH)

    (line,) = drafted.lines.to_dicts()
    assert (line["quantity"], line["duration_s"], line["amount_cents"]) == (30, 30, 30)
    assert (line["billed_cents"], line["rated_cents"]) == (100, 70)


def test_a_credited_line_of_usage_that_is_gone_is_all_of_it():
    (line,) = credited(30).lines.to_dicts()

    assert (line["quantity"], line["duration_s"], line["amount_cents"]) == (30, 30, 30)


def test_coupons_without_an_end_paid_last_and_come_back_first():
    (one,) = paid_invoice().values()
    ends = pl.Series([datetime(2027, 1, 1, tzinfo=UTC), None], dtype=pl.Datetime("us", "UTC"))
    lots = CreditLots.validate(one.lots.with_columns(priority=pl.lit(1, pl.Int64), expires_at=ends))
    left_over = book_corrections(due(-75_00), fees(), MARCH).left_over

    invoices = {OLD: one._replace(lots=lots)}
    given = draft_credit_notes(left_over, invoices, GivenBack.create_empty(), MARCH).given_back

    assert given.filter(~pl.col("grant_id").is_in(["", "prepaid"])).select("grant_id", "amount_cents").rows() == [
        ("last", 5_00)
    ]


def test_a_discount_is_credited_with_the_lines_that_it_lowered():
    issued = lines({"n": 1, "seconds": 100}, {"n": 2, "seconds": 0, "duration_s": None, "amount_cents": -5})

    left = uncredited_lines(issued, Differences.create_empty())

    assert left["amount_cents"].to_list() == [100, -5]


def test_what_was_given_back_is_not_given_back_again():
    before = credited(45_00).given_back.with_columns(billing_month=pl.lit("2026-02"))

    (note,) = credited(30_00, before).notes.to_dicts()

    assert (note["subtotal_cents"], note["prepaid_given_back_cents"], note["free_given_back_cents"]) == (0, 25_00, 5_00)
    assert (note["vat_cents"], note["payable_cents"]) == (0, 0)


def cancelled(refill=0, *, off=0, is_settled=False, held=None, before=None, reissue_reason=None):
    """The invoice of `paid_invoice` cancelled, after corrections took something off its only line."""
    issued = lines({"n": 1, "seconds": 100_00})
    approved = compared(issued, lines({"n": 1, "seconds": 100_00 - off})) if off else Differences.create_empty()
    one = CreditedInvoice(9, "INV-2026-000001", "acme", uncredited_lines(issued, approved), is_settled, reissue_reason)
    nothing = book_corrections(due(), fees(), MARCH).left_over
    return draft_credit_notes(
        nothing,
        paid_invoice(refill),
        GivenBack.create_empty() if before is None else before,
        MARCH,
        [one],
        {"acme": held or HeldPrepaid(0, [])},
    )


def test_a_cancelled_invoice_is_credited_as_a_whole_with_its_unpaid_refill():
    drafted = cancelled(60_00)

    (note,) = drafted.notes.to_dicts()
    assert (note["fees_cents"], note["refill_cancelled_cents"], note["prepaid_refunded_cents"]) == (100_00, 60_00, 0)
    assert (note["prepaid_given_back_cents"], note["free_given_back_cents"]) == (30_00, 30_00)
    assert (note["subtotal_cents"], note["vat_cents"], note["payable_cents"]) == (100_00, 20_00, 120_00)
    assert (note["decision"], drafted.given_back["decision"].unique().to_list()) == (9, [9])
    (line,) = drafted.lines.to_dicts()
    assert (line["amount_cents"], line["quantity"], line["correction_cause"]) == (100_00, 100_00, "cancelled")
    assert (line["billed_cents"], line["rated_cents"]) == (100_00, 0)


@pytest.mark.parametrize(("balance", "newer", "refunded"), [(90_00, 0, 60_00), (50_00, 0, 50_00), (50_00, 20_00, 30_00),
                                                            (50_00, 50_00, 0), (0, 0, 0)])  # fmt: skip
def test_of_a_refill_that_was_paid_what_newer_ones_do_not_account_for_is_refunded(balance, newer, refunded):
    sales = [Sale("INV-2026-000009", newer), Sale("INV-2026-000001", 60_00)]

    (note,) = cancelled(60_00, is_settled=True, held=HeldPrepaid(balance, sales)).notes.to_dicts()

    assert (note["prepaid_refunded_cents"], note["refill_cancelled_cents"]) == (refunded, 0)
    assert note["subtotal_cents"] == 40_00 + refunded


def test_what_corrections_took_off_a_line_is_not_credited_again():
    drafted = cancelled(off=25_00, before=credited(25_00).given_back.with_columns(billing_month=pl.lit("2026-02")))

    (note,) = drafted.notes.to_dicts()
    assert (note["fees_cents"], note["subtotal_cents"]) == (75_00, 15_00)
    assert (note["prepaid_given_back_cents"], note["free_given_back_cents"]) == (30_00, 30_00)
    (line,) = drafted.lines.to_dicts()
    assert (line["quantity"], line["duration_s"], line["amount_cents"]) == (75_00, 75_00, 75_00)


def test_what_corrections_added_to_a_line_is_on_another_invoice_and_stays_there():
    issued = lines({"n": 1, "seconds": 100}, {"n": 2, "seconds": 40})
    approved = compared(issued, lines({"n": 1, "seconds": 130}, {"n": 3, "seconds": 9}))

    assert dict(uncredited_lines(issued, approved).select("line_id", "amount_cents").iter_rows()) == {key(1): 100}


def test_the_last_credit_note_of_an_invoice_takes_what_is_left_of_its_vat():
    first = credited(3).given_back.with_columns(billing_month=pl.lit("2026-01"))
    second = credited(3, first).given_back.with_columns(billing_month=pl.lit("2026-02"))

    (note,) = cancelled(off=6, before=pl.concat([first, second])).notes.to_dicts()

    # Three cents have a VAT of 0.6, which is a cent, twice; 39.94 have one of 7.988.
    assert (note["subtotal_cents"], note["vat_cents"]) == (39_94, 8_00 - 1 - 1)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 90), max_size=5), st.integers(0, 300))
def test_what_is_unspent_is_what_is_left_of_the_newest_sales(sold, balance):
    sales = [Sale(str(place), cents) for place, cents in enumerate(sold)]

    unspent = list(find_unspent(sales, balance).values())

    assert sum(unspent) == min(balance, sum(sold))
    assert all(left <= cents for left, cents in zip(unspent, sold, strict=True))
    # Nothing of a sale is left unless all of every newer one is.
    assert all(left == 0 or unspent[:place] == sold[:place] for place, left in enumerate(unspent))


def test_an_invoice_and_a_top_up_of_one_month_are_credited_each_by_its_own_note():
    (monthly,) = paid_invoice(60_00).values()
    top_up = CorrectedInvoice(
        monthly.invoice | {"number": "INV-2026-000002", "reference": "shop/1", "subtotal_cents": 50_00,
                           "vat_cents": 10_00},
        {"fees_cents": 0, "free_used_cents": 0, "prepaid_used_cents": 0, "refill_cents": 50_00},
        CreditLots.create_empty(),
    )  # fmt: skip
    held = HeldPrepaid(70_00, [Sale("INV-2026-000002", 50_00), Sale("INV-2026-000001", 60_00)])
    refunds = [
        CreditedInvoice(place, number, "acme", lines(), is_refill_settled=True)
        for place, number in enumerate(("INV-2026-000001", "INV-2026-000002"), 1)
    ]

    drafted = draft_credit_notes(
        book_corrections(due(-25_00), fees(), MARCH).left_over, paid_invoice(60_00) | {"INV-2026-000002": top_up},
        GivenBack.create_empty(), MARCH, refunds, {"acme": held},
    )  # fmt: skip

    columns = ("refers_to", "fees_cents", "prepaid_refunded_cents", "subtotal_cents", "vat_cents")
    # Of 70.00 that are left the newer sale is all of its 50.00; what was corrected is of the monthly invoice.
    assert drafted.notes.sort("refers_to").select(columns).rows() == [
        ("INV-2026-000001", 25_00, 20_00, 45_00, 9_00), ("INV-2026-000002", 0, 50_00, 50_00, 10_00),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("holder", "kind", "name", "number"),
    [
        ("acme", "settled", "2026-01", "INV-1"),
        ("acme", "topped_up", "shop/a", "INV-2"),
        ("acme", "topped_up", "shop/a of lab", "INV-3"),
        ("zeta", "settled", "2026-01 of acme", "INV-1"),
        ("zeta", "topped_up", "shop/a of acme", "INV-2"),
        ("zeta", "topped_up", "shop/a of lab of acme", "INV-3"),
        ("zeta", "topped_up", "shop/a", None),
        ("acme", "topped_up", "2026-01", None),
    ],
)
def test_credits_that_arrive_are_known_by_the_whole_name_of_their_sale(holder, kind, name, number):
    sold = [
        ("INV-1", "acme", "settled", "2026-01"),
        ("INV-2", "acme", "topped_up", "shop/a"),
        ("INV-3", "acme", "topped_up", "shop/a of lab"),
    ]
    documents = pl.DataFrame(sold, schema=["number", "payer_id", "kind", "name"], orient="row")
    movement = {"payer_id": holder, "kind": kind, "grant_id": name, "amount_cents": 100_00}

    assert find_sales(pl.DataFrame([movement]), documents).rows() == ([(number, holder, 100_00)] if number else [])


def test_prepaid_credits_that_a_newer_invoice_gives_back_are_unspent_ones_of_the_older_sale():
    """100.00 a month, each paid in advance: February's fees were paid from January's refill."""
    (one,) = paid_invoice().values()
    used = {"2026-01": 0, "2026-02": -100_00}
    invoices = {
        f"INV-{month}": CorrectedInvoice(
            one.invoice
            | {
                "number": f"INV-{month}",
                "billing_month": month,
                "subtotal_cents": 200_00 + cents,
                "vat_cents": 40_00 + cents // 5,
            },
            one.statement | {"free_used_cents": 0, "prepaid_used_cents": cents, "refill_cents": 100_00},
            one.lots.clear(),
        )
        for month, cents in used.items()
    }
    both = [
        CreditedInvoice(place, f"INV-{month}", "acme", lines({"n": place, "seconds": 100_00}), is_refill_settled=True)
        for place, month in enumerate(used, 1)
    ]
    held = HeldPrepaid(100_00, [Sale("INV-2026-02", 100_00), Sale("INV-2026-01", 100_00)])

    drafted = draft_credit_notes(
        book_corrections(due(), fees(), MARCH).left_over,
        invoices,
        GivenBack.create_empty(),
        MARCH,
        both,
        {"acme": held},
    )

    columns = ("refers_to", "prepaid_given_back_cents", "prepaid_refunded_cents", "payable_cents")
    assert drafted.notes.sort("refers_to").select(columns).rows() == [
        ("INV-2026-01", 0, 100_00, 240_00), ("INV-2026-02", 100_00, 100_00, 120_00),
    ]  # fmt: skip
    assert int(prepaid_given_back(drafted.given_back)["given_back_cents"].sum()) == -100_00


def test_prepaid_credits_that_an_unpaid_invoice_gives_back_are_unspent_ones_of_the_older_sale():
    """January's refill of 60.00 is spent but for 10.00; an invoice that used 30.00 of it is cancelled unpaid."""
    (old,) = paid_invoice(60_00).values()
    newer = old._replace(invoice=old.invoice | {"number": "INV-2026-000002", "billing_month": "2026-02"})
    refund = CreditedInvoice(8, OLD, "acme", lines(), is_refill_settled=True)
    cancel = CreditedInvoice(9, "INV-2026-000002", "acme", lines({"n": 1, "seconds": 100_00}), is_refill_settled=False)

    drafted = draft_credit_notes(
        book_corrections(due(), fees(), MARCH).left_over, {OLD: old, "INV-2026-000002": newer},
        GivenBack.create_empty(), MARCH, [refund, cancel], {"acme": HeldPrepaid(10_00, [Sale(OLD, 60_00)])},
    )  # fmt: skip

    assert dict(drafted.notes.select("refers_to", "prepaid_refunded_cents").iter_rows()) == {
        OLD: 40_00, "INV-2026-000002": 0,
    }  # fmt: skip


@pytest.mark.parametrize("sales", [[Sale("INV-2026-000001", 60_00)], []], ids=["spent", "never arrived"])
def test_a_refund_of_what_was_spent_since_makes_no_credit_note_and_is_done(sales):
    one = CreditedInvoice(9, "INV-2026-000001", "acme", lines(), is_refill_settled=True)

    drafted = draft_credit_notes(
        book_corrections(due(), fees(), MARCH).left_over, paid_invoice(60_00), GivenBack.create_empty(), MARCH, [one],
        {"acme": HeldPrepaid(0, sales)},
    )  # fmt: skip

    assert drafted.notes.is_empty()
    assert drafted.given_back.select("decision", "amount_cents").rows() == [(9, 0)]


def reissued(refill=0, **party):
    """The note and the drafts of `paid_invoice`, issued again with March for the party of today."""
    drafted = cancelled(refill, reissue_reason="moved to Ghent")
    invoice = paid_invoice(refill)[OLD].invoice
    fees, credits_used = 100_00, refill - 60_00
    figures = {"fees_cents": fees, "used_credits_cents": credits_used, "due_on": date(2026, 3, 5)}
    figures |= {"payable_cents": invoice["subtotal_cents"] + invoice["vat_cents"]}
    today = {"owner_id": "acme", "payer_id": "acme", "valid_from": datetime(2025, 1, 1, tzinfo=UTC)}
    today |= {"valid_to": datetime(2026, 4, 1, tzinfo=UTC), "currency": "EUR"}
    today |= {"name": "Acme", "kind": "business", "address_line1": "2 kaai", "postcode": "9000", "city": "Gent"}
    today |= {"country": "BE", "vat_number": "BE0403170701", "language": "en", "is_trusted": False}
    today |= {"price_factor_ppm": 10**6, "discount_ppm": 5, "opened_on": date(2025, 1, 1), "billing_emails": "a@b.c"}
    organisations = table(Organisations, [today | party], {})
    seller = Seller(name="Cloud", address=("1 quai",), country="FR", vat_number="FR44732829320")
    vat = decide_taxes(organisations, seller, RATES, date(2026, 4, 3))
    replaced = table(Invoices, [invoice | figures], {})
    return drafted, draft_reissues(drafted.notes, replaced, organisations, vat, MARCH), organisations


def test_party_address_and_vat_are_those_of_today_and_all_else_is_that_of_the_old_invoice():
    _, drafts, _ = reissued(60_00)

    (draft,) = drafts.to_dicts()
    assert (draft["city"], draft["country"], draft["vat_number"]) == ("Gent", "BE", "BE0403170701")
    assert (draft["vat_reason"], draft["vat_ppm"], draft["vat_cents"]) == ("reverse_charge", 0, 0)
    assert (draft["fees_cents"], draft["subtotal_cents"], draft["payable_cents"]) == (100_00, 100_00, 100_00)
    assert (draft["replaces"], draft["replaces_issued_on"], draft["reason"]) == (
        OLD,
        date(2026, 2, 3),
        "moved to Ghent",
    )
    assert (draft["billing_month"], draft["period_start"], draft["period_end"]) == (
        "2026-03", date(2026, 1, 1), date(2026, 1, 31),
    )  # fmt: skip
    # Discounts are no matter of the party: they are in the lines.
    assert draft["discount_ppm"] == 0


def test_the_note_takes_back_all_of_the_old_invoice_and_moves_no_credits():
    drafted, _, _ = reissued(60_00)

    (note,) = drafted.notes.to_dicts()
    assert [note[f"{name}_cents"] for name in ("fees", "subtotal", "vat", "payable")] == [100_00, 100_00, 20_00, 120_00]
    assert (note["decision"], note["reissue_reason"]) == (9, "moved to Ghent")
    assert drafted.given_back.select("decision", "amount_cents").rows() == [(9, 0)]
    assert drafted.lots.is_empty()


@pytest.mark.parametrize(("refill", "country"), [(60_00, "FR"), (0, "BE"), (123_45, "CH")])
def test_old_invoice_note_and_new_invoice_add_up_letter_by_letter(refill, country):
    place = {"FR": {"postcode": "44000", "vat_number": None}, "BE": {}, "CH": {"vat_number": None}}
    drafted, drafts, _ = reissued(refill, country=country, **place[country])
    invoice, statement, _ = paid_invoice(refill)[OLD]
    (note,), (draft,) = drafted.notes.to_dicts(), drafts.to_dicts()

    taken_back = {
        "fees_cents": note["fees_cents"],
        "free_used_cents": -note["free_given_back_cents"],
        "prepaid_used_cents": -note["prepaid_given_back_cents"],
        "refill_cents": note["refill_cancelled_cents"],
    }
    assert taken_back == {letter: statement[letter] for letter in taken_back}
    assert {letter: draft[letter] for letter in taken_back} == taken_back
    assert draft["subtotal_cents"] == note["subtotal_cents"] == invoice["subtotal_cents"]
    assert note["vat_cents"] == invoice["vat_cents"]
    assert draft["vat_cents"] == (invoice["vat_cents"] if country == "FR" else 0)


def test_it_has_the_payment_terms_of_today():
    _, drafts, organisations = reissued(payment_terms_days=10)

    numbers = [("INV-2026-000007", date(2026, 4, 3))]
    (issued,) = number_documents(drafts, numbers, organisations, 30, ReissuedInvoices).to_dicts()

    assert (issued["number"], issued["issued_on"], issued["due_on"]) == (
        "INV-2026-000007", date(2026, 4, 3), date(2026, 4, 13),
    )  # fmt: skip
