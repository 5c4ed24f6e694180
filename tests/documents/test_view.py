from dataclasses import asdict
from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from billing_pipeline.adapters.vat_rates import read_vat_rates
from billing_pipeline.documents.texts import STATEMENT
from billing_pipeline.documents.view import DocumentFailure
from billing_pipeline.rules.parties import Seller
from billing_pipeline.rules.tax import decide_vat
from billing_pipeline.tables.credits import CreditStatements

MINUS = "\N{MINUS SIGN}"


DISCOUNT = {
    "basis": "discount", "slug": "discount", "resource_id": "discount", "resource_name": None,
    "rule_kind": "invoice_discount", "rule_rate_ppm": 100_000,
}  # fmt: skip


def _amounts(view):
    return {row.label: row.amount for row in view.totals}


def _notes(view):
    return {row.label: row.note for row in view.totals}


def _lines(view):
    return [line for owner in view.details for service in owner.services for line in service.lines]


def test_the_published_statement_prints_used_credits_and_the_refill(month):
    view = month.bill(usage=[{"amount_cents": 68689}], prepaid=69135, vat_ppm=0, vat_reason="outside_eu").view()

    letters = {row.letter: row.amount for row in view.statement}
    assert letters == {
        "a": "€0.00", "b": "€691.35", "A": "€691.35", "c": "€0.00", "d": "€0.00", "e": f"{MINUS}€686.89",
        "f": f"{MINUS}€686.89", "g": "€0.00", "h": "€682.43", "B": "€686.89", "i": f"{MINUS}€4.46", "": f"{MINUS}€4.46",
    }  # fmt: skip
    assert _amounts(view)["Used credits"] == f"{MINUS}€4.46"
    assert _amounts(view)["Subtotal excluding tax"] == "€682.43"
    assert view.panel.amount == "€682.43"


def test_an_invoice_that_is_issued_again_says_what_it_replaces_and_why(month):
    replaced = {"replaces": "INV-2026-000001", "replaces_issued_on": date(2026, 9, 3), "reason": "moved to Ghent"}
    letters = {"free_used_cents": 0, "prepaid_used_cents": 0, "refill_cents": 100_00}
    view = month.bill(
        usage=[{"amount_cents": 100_00}], **replaced, **letters, decision=9, holder_id="orga_1", basis_hash="x"
    ).view()

    assert {fact.label: fact.value for fact in view.facts}["Replaces"] == "INV-2026-000001 of 2026-09-03"
    assert "This invoice replaces INV-2026-000001 of 2026-09-03, which a credit note takes back: moved to Ghent." in (
        view.terms)  # fmt: skip


def test_credits_that_grow_are_credits_to_add(month):
    view = month.bill(usage=[{"amount_cents": 11463}], prepaid=2000).view()
    assert _amounts(view)["Credits to add"] == "€94.63"


def test_fees_that_no_credit_covered_are_called_over_consumption(month):
    view = month.bill(usage=[{"amount_cents": 11463}], prepaid=2000, custom=0).view()
    assert "€94.63" in _notes(view)["Subtotal excluding tax"]
    assert "over-consumption" in _notes(view)["Subtotal excluding tax"]


def test_covered_fees_are_not_over_consumption(month):
    view = month.bill(usage=[{"amount_cents": 11463}], prepaid=20000).view()
    assert _notes(view)["Subtotal excluding tax"] == ""


def test_a_negotiated_refill_is_named_and_shows_no_formula(month):
    view = month.bill(usage=[{"amount_cents": 11463}], prepaid=2000, custom=5000).view()
    (refill,) = [row for row in view.statement if row.letter == "h"]
    assert (refill.label, refill.formula) == ("Refilling a custom amount of credits", "")


def test_who_agreed_to_a_negotiated_refill_and_why_is_printed(month):
    month.bill(usage=[{"amount_cents": 11463}], prepaid=2000, custom=5000)
    view = month.view(agreements={"orga_1": "Sales: in arrears"})
    assert view.explanations[-1] == "h, the refill: a custom amount of €50.00 was agreed. Sales: in arrears"


def test_every_printed_letter_is_a_column_of_the_statement():
    assert {column for _, column, *_ in STATEMENT} <= set(CreditStatements.column_names())


def test_a_discount_prints_its_rate_and_reason_between_fees_and_total_fees(month):
    view = month.bill(
        usage=[{"amount_cents": 10000}, DISCOUNT | {"amount_cents": -1000, "description": "Framework agreement"}]
    ).view()

    assert [(row.label, row.note, row.amount) for row in view.totals][1:3] == [
        ("Discount 10 %", "Framework agreement", f"{MINUS}€10.00"),
        ("Total fees", "", "€90.00"),
    ]
    assert _amounts(view)["Fees for the period"] == "€100.00"
    assert view.details_total.value == "€100.00"


def test_the_payer_alone_has_no_table_of_organisations(month):
    assert month.bill(usage=[{}]).view().organisations is None


def test_sub_organisations_follow_the_main_one_and_add_up_to_the_fees(month):
    """The published example 2: 102.12 + 12.51 = 114.63."""
    labs = {"owner_id": "orga_2", "owner_name": "Labs"}
    view = month.bill(usage=[labs | {"amount_cents": 1251}, {"amount_cents": 10212}]).view()

    rows = [(row.name, row.is_main, row.amount) for row in view.organisations.rows]
    assert rows == [("Atelier", True, "€102.12"), ("Labs", False, "€12.51")]
    assert view.organisations.total == "€114.63"
    assert [owner.name for owner in view.details] == ["Atelier", "Labs"]


def test_a_payer_that_used_nothing_itself_still_heads_its_sub_organisations(month):
    view = month.bill(usage=[{"owner_id": "orga_2", "owner_name": "Labs", "amount_cents": 1251}]).view()
    assert [(row.name, row.amount) for row in view.organisations.rows] == [("Atelier", "€0.00"), ("Labs", "€12.51")]


def test_the_discount_closes_the_gap_between_organisations_and_their_total(month):
    labs = {"owner_id": "orga_2", "owner_name": "Labs", "amount_cents": 600}
    view = month.bill(usage=[{"amount_cents": 400}, labs, DISCOUNT | {"amount_cents": -100}]).view()
    assert view.organisations.discount_label == "Discount 10 %"
    assert (view.organisations.discount, view.organisations.total) == (f"{MINUS}€1.00", "€9.00")


def test_services_stand_by_falling_amount_with_their_share(month):
    view = month.bill(usage=[{"amount_cents": 2500}, {"slug": "cellar.outbound", "amount_cents": 7500}]).view()
    assert [(row.name, row.share, row.amount) for row in view.services] == [
        ("Cellar object storage", "75.0 %", "€75.00"),
        ("Applications", "25.0 %", "€25.00"),
    ]


@pytest.mark.parametrize(
    ("line", "usage", "price"),
    [
        (
            {"quantity": Decimal(224674)},
            ("2d 14h 24m 34s", ""),
            "€0.04444 /h",
        ),
        (
            {
                "basis": "stored", "slug": "cellar.storage", "unit": "byte_s", "per_quantity": 10**9,
                "quantity": Decimal(150 * 10**9 * 2678400), "duration_s": 2678400,
                "unit_price": Decimal("0.0000284444444444444"),
            },
            ("150 GB", "over 31d 00h 00m 00s"),
            "€0.0000284 /GB·h",
        ),
        (
            {
                "basis": "moved", "slug": "cellar.outbound", "unit": "byte", "per_quantity": 10**9, "per_seconds": 1,
                "quantity": Decimal(12 * 10**12), "duration_s": None, "unit_price": Decimal("0.09"),
            },
            ("12,000 GB", ""),
            "€0.09 /GB",
        ),
        (
            {
                "basis": "units", "slug": "heptapod.public_active_users", "unit": "unit", "per_quantity": 100,
                "per_seconds": 1, "quantity": Decimal(200), "duration_s": None, "unit_price": Decimal(8),
            },
            ("200 users", ""),
            "€8 /100 users",
        ),
    ],
)  # fmt: skip
def test_a_line_says_what_was_used_and_what_a_unit_costs(month, line, usage, price):
    (printed,) = _lines(month.bill(usage=[line]).view())
    assert ((printed.usage, printed.usage_note), printed.price) == (usage, price)


def test_a_resource_is_named_once_for_all_its_lines(month):
    view = month.bill(usage=[{}, {"resource_id": "app_2", "resource_name": None}, {"slug": "apps.m"}]).view()
    assert [(line.name, line.resource_id, line.size_and_zone) for line in _lines(view)] == [
        ("front", "app_1", "s \N{EN DASH} par"),
        ("", "", "m \N{EN DASH} par"),
        ("app_2", "", "s \N{EN DASH} par"),
    ]
    assert view.details[0].services[0].count == "2 resources"


def test_usage_of_an_earlier_month_is_dated(month):
    view = month.bill(usage=[{}, {"origin_month": "2026-09"}]).view()
    assert [line.origin for line in _lines(view)] == ["", "Usage of 2026-09"]


def test_a_one_off_charge_prints_its_description(month):
    charge = {
        "basis": "one_shot", "slug": "one_shot", "zone": "", "unit": "piece", "quantity": Decimal(2),
        "unit_price": Decimal(30), "description": "Training", "sub_description": "Half a day", "amount_cents": 6000,
    }  # fmt: skip
    (line,) = _lines(month.bill(usage=[charge]).view())
    assert (line.name, line.resource_id, line.usage, line.price) == ("Training", "Half a day", "2", "€30")


def test_a_coupon_shows_its_last_day_and_what_it_leaves(month):
    view = (
        month.bill(usage=[{"amount_cents": 1000}], free=3000)
        .coupon("WELCOME", 3000, used=-1000, expires_at=datetime(2026, 12, 31, 23, tzinfo=UTC), slugs="apps.s;apps.m")
        .view(zone=ZoneInfo("Europe/Paris"))
    )
    (coupon,) = view.coupons
    assert (coupon.valid_until, coupon.used, coupon.left) == ("2026-12-31", f"{MINUS}€10.00", "€20.00")
    assert coupon.note == "Only for apps.s, apps.m"
    assert view.coupon_total is None


def test_a_coupon_of_the_next_period_says_when_it_starts(month):
    view = month.bill(usage=[{}]).coupon("PARTNER", 900, starts_at=datetime(2026, 11, 10, tzinfo=UTC)).view()
    assert view.coupons[0].note == "From 2026-11-10"


def test_a_draft_asks_for_no_money_and_has_no_date(month):
    view = month.bill(usage=[{"amount_cents": 500}], number=None, issued_on=None, due_on=None).view()
    assert (view.is_draft, view.number, view.issued_on, view.panel.bank) == (True, "", "", ())
    assert "do not pay" in view.panel.message


def test_an_invoice_of_nothing_asks_for_nothing(month):
    view = month.bill(free=500, expired=500).view()
    assert (view.panel.amount, view.panel.bank, view.details, view.services) == ("€0.00", (), (), ())


def test_an_issued_invoice_says_where_to_pay(month):
    view = month.bill(usage=[{"amount_cents": 500}]).view()
    assert [fact.value for fact in view.panel.bank] == [
        "FR76 3000 6000 0112 3456 7890 189",
        "AGRIFRPP",
        "INV-2026-000007",
    ]


def test_a_consumer_is_not_threatened_with_a_recovery_charge(month):
    view = month.bill(usage=[{}], party_kind="consumer").view()
    assert "€40" not in view.terms
    assert "2026-12-03" in view.terms


@pytest.mark.parametrize(
    ("country", "kind", "vat_number", "label", "note"),
    [
        ("FR", "business", None, "VAT 20 %", "French VAT, standard rate — article 278 CGI"),
        ("RE", "business", None, "VAT 8.5 %", "French VAT, overseas departments — article 296 CGI"),
        ("FI", "consumer", None, "VAT 25.5 %", "VAT of FI, one-stop shop (OSS) — art. 58 directive 2006/112/EC"),
        ("US", "business", None, "VAT 0 %", "TVA non applicable — art. 259-1° du CGI (VAT not applicable)"),
        (
            "BE", "business", "BE0428759497", "VAT 0 %",
            "Autoliquidation — art. 283-2 CGI, art. 196 dir. 2006/112/CE (reverse charge)",
        ),
    ],
)  # fmt: skip
def test_what_was_decided_of_the_vat_is_printed_beside_its_rate(month, country, kind, vat_number, label, note):
    seller = Seller("Nimbus", (), "FR", "FR40303265045")
    decision = decide_vat(country, "44000", kind, vat_number, seller, read_vat_rates(), date(2026, 11, 3))
    view = month.bill(usage=[{}], country=country, vat_number=vat_number, **asdict(decision)).view()

    assert (view.totals[-1].label, view.totals[-1].note) == (label, note)
    assert "VAT FR40303265045" in view.seller.lines
    assert ("VAT BE0428759497" in view.buyer.lines) == (country == "BE")


def test_a_payer_whose_figures_contradict_each_other_is_refused_and_the_others_are_printed(month):
    month.bill("orga_1", usage=[{"amount_cents": 500}]).bill("orga_2", usage=[{"amount_cents": 500}])
    month.lines[0]["amount_cents"] = 499
    refused, printed = month.views()
    assert isinstance(refused, DocumentFailure)
    assert (refused.payer_id, refused.reason) == ("orga_1", "document_failed")
    assert "500 and 499" in refused.detail
    assert printed.payer_id == "orga_2"


def test_an_invoice_in_an_unknown_currency_is_refused(month):
    (refused,) = month.bill(usage=[{}], currency="XXX").views()
    assert isinstance(refused, DocumentFailure)
    assert "'XXX'" in refused.detail


def test_a_payer_without_a_credit_statement_is_refused(month):
    month.bill(usage=[{}]).statements.clear()
    (refused,) = month.views()
    assert "0 credit statements" in refused.detail


def test_views_are_ordered_by_payer_and_keep_each_payers_rows_apart(month):
    for payer, cents in (("orga_3", 300), ("orga_1", 100), ("orga_2", 200)):
        month.bill(payer, usage=[{"amount_cents": cents}])
    views = month.views()
    assert [(view.payer_id, _amounts(view)["Total fees"]) for view in views] == [
        ("orga_1", "€1.00"),
        ("orga_2", "€2.00"),
        ("orga_3", "€3.00"),
    ]


def test_the_smallest_services_stand_together_so_that_page_1_holds_the_summary(month):
    slugs = [
        "apps.s",
        "mysql.s",
        "redis.s",
        "cellar.storage",
        "pulsar.out",
        "es.s",
        "jenkins.xs",
        "mongodb.s",
        "kafka.s",
    ]
    usage = [{"slug": slug, "amount_cents": 1000 - number} for number, slug in enumerate(slugs)]

    services = month.bill(usage=usage, free=20000).view().services

    assert len(services) == 6
    assert (services[-1].name, services[-1].amount) == ("4 other services", "€39.74")


def test_a_discounted_one_shot_says_so(month):
    training = {
        "basis": "one_shot",
        "slug": "one_shot",
        "unit": "piece",
        "line_discount_ppm": 150_000,
        "quantity": Decimal(3),
    }
    (line,) = _lines(month.bill(usage=[training], free=100).view())
    assert line.origin == "Discount of 15 %"


TRUE_UP = {
    "basis": "true_up", "slug": "minimum", "resource_id": "rule_1", "resource_name": None, "zone": "", "unit": "piece",
    "quantity": Decimal(1), "unit_price": Decimal(8), "duration_s": None, "per_seconds": 1, "amount_cents": 800,
    "rule_kind": "minimum", "rule_limit_cents": 2000, "description": "Base fee",
}  # fmt: skip


def test_every_rule_stands_on_page_1_with_its_reason_between_the_usage_and_the_total_fees(month):
    cap = DISCOUNT | {
        "rule_kind": "maximum", "slug": "apps.s", "rule_rate_ppm": None, "rule_limit_cents": 1200,
        "amount_cents": -300, "description": "Cap on applications",
    }  # fmt: skip
    gesture = DISCOUNT | {
        "rule_kind": "discount", "rule_rate_ppm": None, "rule_limit_cents": 220, "amount_cents": -220,
        "description": "Gesture",
    }  # fmt: skip
    view = month.bill(usage=[{"amount_cents": 1500}, cap, TRUE_UP, gesture]).view()

    assert [(row.label, row.note, row.amount) for row in view.totals][:5] == [
        ("Fees for the period", "2026-10-01 – 2026-10-31, see the usage details", "€15.00"),
        ("Maximum €12.00 for apps.s", "Cap on applications", f"{MINUS}€3.00"),
        ("Minimum €20.00", "Base fee", "€8.00"),
        ("Discount €2.20", "Gesture", f"{MINUS}€2.20"),
        ("Total fees", "", "€17.80"),
    ]


def test_what_tops_up_is_a_line_of_the_details_under_its_organisation(month):
    labs = {"owner_id": "orga_2", "owner_name": "Labs"}
    view = month.bill(usage=[{"amount_cents": 1500}, TRUE_UP | labs]).view()

    line = _lines(view)[-1]
    assert (line.name, line.resource_id, line.usage, line.price, line.amount) == (
        "Base fee", "Minimum €20.00 for Labs", "1", "€8", "€8.00",
    )  # fmt: skip
    assert (view.details[1].services[0].name, view.details[1].services[0].count) == ("Minimums", "1 item")
    assert view.details_total.value == "€23.00"


def test_several_discounts_close_the_gap_between_organisations_and_their_total_together(month):
    labs = {"owner_id": "orga_2", "owner_name": "Labs", "amount_cents": 600}
    view = month.bill(usage=[{"amount_cents": 400}, labs, *[DISCOUNT | {"amount_cents": -100}] * 2]).view()

    organisations = view.organisations
    assert (organisations.discount_label, organisations.discount) == ("Discounts", f"{MINUS}€2.00")


def test_resources_below_the_cent_are_counted_on_the_line_that_they_share(month):
    grouped = {"resource_id": "", "resource_name": None, "resources": 12, "amount_cents": 3}
    view = month.bill(usage=[{}, grouped, grouped | {"resources": 7}]).view()

    assert [line.name for line in _lines(view)] == [
        "front", "12 resources below the cent", "7 resources below the cent",
    ]  # fmt: skip
    assert view.details[0].services[0].count == ""


def test_a_vendors_charge_prints_what_the_vendor_says(month):
    charge = {
        "basis": "vendor", "slug": "vendor", "zone": "", "unit": "piece", "quantity": Decimal(1),
        "unit_price": Decimal("12.34"), "description": "mailer: 10,000 mails", "resource_name": "mail",
        "amount_cents": 1234,
    }  # fmt: skip
    view = month.bill(usage=[charge]).view()

    (line,) = _lines(view)
    assert (line.name, line.resource_id, line.amount) == ("mailer: 10,000 mails", "mail", "€12.34")
    assert view.services[0].name == "Third-party services"


def test_over_consumption_is_explained_as_a_regularisation(month):
    view = month.bill(usage=[{"amount_cents": 11463}], prepaid=2000, custom=0).view()

    assert view.explanations[0] == (
        "Regularisation for over-consumption, F + c + e: total fees of €114.63 less €20.00 of used credits leave "
        "€94.63, invoiced now."
    )


def test_covered_fees_need_no_regularisation(month):
    view = month.bill(usage=[{"amount_cents": 11463}], prepaid=20000).view()

    assert view.explanations == ("f, the estimate: the fees that recur, €114.63.",)


def _explained(month, **statement):
    month.bill(usage=[{"amount_cents": 10000}], prepaid=20000)
    month.statements[0] |= statement
    return month.view().explanations[-1]


def test_the_estimate_tells_one_off_charges_apart(month):
    assert _explained(month, recurring_cents=7500, forecast_cents=-7500, refill_cents=0) == (
        "f, the estimate: the fees that recur, €75.00. One-off charges of €25.00 are not expected again."
    )


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ({"estimate_basis": "daily_rate", "forecast_cents": -9677}, "over next month's days: €96.77."),
        (
            {
                "estimate_basis": "mean_of_three",
                "forecast_cents": -9000,
                "recurring_1_before_cents": 9000,
                "recurring_2_before_cents": 8000,
            },
            "the mean of the fees that recurred lately, €100.00, €90.00, €80.00: €90.00.",
        ),
        ({"estimate_basis": "committed", "forecast_cents": -5000}, "what you committed yourself to spend, €50.00."),
        ({"estimate_basis": "final", "forecast_cents": 0}, "this is a final statement"),
    ],
    ids=["daily rate", "mean of three", "committed", "final"],
)
def test_the_estimate_says_what_it_rests_on(month, figures, said):
    assert said in _explained(month, **figures)


def test_credits_that_move_to_another_payer_are_announced(month):
    view = month.bill(usage=[{"amount_cents": 100}], prepaid=1000, successor_name="Holding").view()

    assert view.explanations[-1] == (
        "Holding pays from the next period on. What is left of your credits, €9.00, moves there."
    )


UNUSABLE = {
    "payer_id": "orga_1", "owner_id": "orga_1", "resource_id": "app_1", "resource_name": "front", "slug": "apps.s",
    "zone": "par", "instance_id": "i-1", "reason": "Host failure",
    "started_at": datetime(2026, 10, 5, 1, 0, 0, 600_000, tzinfo=UTC),
    "stopped_at": datetime(2026, 10, 5, 1, 10, 1, 200_000, tzinfo=UTC),
}  # fmt: skip


def test_time_not_billed_is_listed_in_an_annex_of_its_payer_alone(month):
    month.bill("orga_1", usage=[{}]).bill("orga_2", usage=[{}])
    later = UNUSABLE | {
        "owner_id": "orga_3", "resource_name": None, "instance_id": "i-0",
        "started_at": datetime(2026, 10, 31, 22, tzinfo=UTC), "stopped_at": datetime(2026, 10, 31, 23, tzinfo=UTC),
    }  # fmt: skip
    unusable = pl.DataFrame([later, UNUSABLE])
    first, second = month.views(zone=ZoneInfo("Europe/Paris"), unusable=unusable)

    assert second.annex is None
    assert first.annex.period_label == "From and to (Europe/Paris)"
    assert [(row.name, row.instance, row.size_and_zone, row.reason) for row in first.annex.rows] == [
        ("front", "i-1", "apps.s – par", "Host failure"),
        ("app_1", "orga_3 · i-0", "apps.s – par", "Host failure"),
    ]
    assert [(row.period, row.duration) for row in first.annex.rows] == [
        ("2026-10-05 03:00:00 – 2026-10-05 03:10:01", "10m 00s"),
        ("2026-10-31 23:00:00 – 2026-11-01 00:00:00", "1h 00m 00s"),
    ]
    assert first.annex.total == "1h 10m 00s"
