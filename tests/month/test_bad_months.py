"""Bad inputs of a month, one faulty organisation per case: each has its reaction, and nobody else's bill changes.

The cases are those of the catalogue in `BAD_INPUTS`; where another test holds a case, it is named there.
"""

import json
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
from provider_home import (
    LONG_AGO,
    ProviderHome,
    at,
    counted,
    hourly,
    moved,
    one_shot,
    organisation,
    ran,
    stored,
)

TESTS = Path(__file__).parents[1]
SOURCES = TESTS.parent / "billing_pipeline"
MODELS = TESTS.parent / "dbt_project" / "models"

JANUARY = "2026-01"
FIRST, CLOSING, END = at("2026-01-01"), at("2026-01-16"), at("2026-02-01")
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
GB = 10**9

#: Everyone without a price list of its own.
USUAL = (
    "good", "leaver", "overlapping", "restarting", "skewed", "stale", "eternal", "reflavoured", "one", "two", "latin",
    "cyrillic", "unsafe", "nameless", "reborn", "untaxed", "unpriced", "spiky", "gappy", "tiny", "contradicted",
)  # fmt: skip
OWN_PRICES = ("doubly", "interrupted", "shapeless", "dollar")


def instance(owner: str, name: str, start: object, stop: object, slug: str = "apps.s", **columns: object) -> dict:
    """A run of a named instance."""
    return ran(owner, slug, start, stop, instance_id=name, **columns)


@pytest.fixture(scope="module")
def home(new_home: Callable[..., ProviderHome]) -> ProviderHome:
    """January 2026, drafted once for all cases."""
    home = new_home("bad", keeps_events=True)
    special = {
        # Cyrillic А; a sign that turns text around; one that cannot be seen.
        "latin": {"name": "Acme"},
        "cyrillic": {"name": "\N{CYRILLIC CAPITAL LETTER A}cme"},
        "unsafe": {"name": "Evil \N{RIGHT-TO-LEFT OVERRIDE}Corp"},
        "nameless": {"name": "\N{ZERO WIDTH SPACE}"},
        "leaver": {"closed_on": at("2026-01-15").date()},
        "reborn": {"name": "Leaver"},
        "untaxed": {"country": "DE", "vat_number": "DE000000000"},
    }
    home.land("organisations", *(organisation(owner, **special.get(owner, {})) for owner in (*USUAL, *OWN_PRICES)))
    home.land("organisations", organisation("early", valid_from=at("2026-01-11")))
    home.land(
        "price_tiers",
        hourly("apps.s", "0.10"),
        hourly("apps.m", "0.20"),
        hourly("disk", "0.01", basis="stored", per_quantity=GB),
        hourly("net", "1.00", basis="moved", per_quantity=GB, per_seconds=None),
        hourly("seats", "2.00", basis="units", per_seconds=None),
        *(
            hourly("own.s", "0.10", owner_id="doubly", price_id=f"doubly-{name}", valid_from=since)
            for name, since in (("a", LONG_AGO), ("b", at("2026-01-20")))
        ),
        hourly("own.s", "0.10", owner_id="interrupted", price_id="until", valid_to=at("2026-01-10")),
        hourly("own.s", "0.10", owner_id="interrupted", price_id="since", valid_from=at("2026-01-12")),
        hourly("own.s", "0.10", owner_id="shapeless", price_id="shapeless", tier_from=5),
        hourly("own.s", "0.10", owner_id="dollar", price_id="dollar", currency="USD"),
    )
    middle, noon = at("2026-01-10"), at("2026-01-10T12:00")
    home.land(
        "runtime_intervals",
        ran("good", "apps.s", FIRST, None),
        # Closes with January 15: an open run, one over the last midnight, one that starts right then.
        instance("leaver", "open", FIRST, None),
        instance("leaver", "over-midnight", CLOSING - SECOND, CLOSING + SECOND),
        instance("leaver", "after", CLOSING, CLOSING + HOUR),
        instance("ghost", "haunting", middle, noon),
        ran("unpriced", "apps.exotic", middle, noon),
        instance("early", "early", at("2026-01-02"), at("2026-01-12")),
        instance("overlapping", "twice", middle, noon),
        instance("overlapping", "twice", noon - HOUR, noon + HOUR),
        instance("restarting", "crashed", middle, None),
        instance("restarting", "crashed", noon, None),
        instance("skewed", "ticking", middle, noon + SECOND),
        instance("skewed", "ticking", noon, noon + HOUR),
        instance("stale", "zombie", at("2024-12-01"), None),
        instance("eternal", "eternal", at("2024-12-01"), at("2026-01-20")),
        instance("reflavoured", "both", middle, noon),
        instance("reflavoured", "both", middle + HOUR, noon, slug="apps.m"),
        instance("one", "shared", middle, noon),
        instance("two", "shared", middle + HOUR, noon),
        *(ran(owner, "apps.s", middle, noon) for owner in ("latin", "cyrillic", "unsafe", "nameless", "reborn")),
        ran("untaxed", "apps.s", middle, noon),
        ran("tiny", "apps.s", middle, middle + 36 * SECOND),
        ran("contradicted", "apps.s", middle, noon, event_id="same", ingested_at=noon),
        ran("contradicted", "apps.s", middle, noon + HOUR, event_id="same", ingested_at=noon),
        *(ran(owner, "own.s", FIRST, END) for owner in OWN_PRICES),
    )
    home.land(
        "storage_samples",
        stored("leaver", "disk", GB, FIRST),
        stored("leaver", "disk", 100 * GB, CLOSING + HOUR),
        stored("ghost", "disk", GB, middle),
        stored("gappy", "disk", GB, at("2025-11-01")),
    )
    quiet = [moved("spiky", "net", GB, middle + n * HOUR, middle + (n + 1) * HOUR) for n in range(12)]
    reading = moved("spiky", "net", 100 * GB, noon, noon + HOUR)
    after = [moved("spiky", "net", GB, noon + n * HOUR, noon + (n + 1) * HOUR) for n in (1, 2)]
    home.land("traffic_deltas", *quiet, reading, *after, moved("leaver", "net", GB, CLOSING - HOUR, CLOSING + HOUR))
    home.land("unit_counts", counted("leaver", "seats", 3, FIRST), counted("leaver", "seats", 9, CLOSING))
    home.land("one_shots", one_shot("ghost", "Exorcism", "5.00", middle), one_shot("leaver", "Export", "7.00", CLOSING))
    home.draft(JANUARY)
    return home


def lines(home: ProviderHome, owner: str) -> dict[str, dict]:
    """The printed lines of an organisation by what they are for."""
    return {row["slug"]: row for row in home.rows("invoices/invoice_lines", JANUARY, owner_id=owner)}


def parked(home: ProviderHome, owner: str) -> list[str]:
    return [row["reason"] for row in home.rows("invoices/parked_organisations", JANUARY, payer_id=owner)]


def flags(home: ProviderHome, owner: str) -> list[tuple[str, int, str]]:
    found = home.rows("usage/flags", JANUARY, owner_id=owner)
    return [(row["reason"], row["rows"], row["detail"]) for row in found]


def refused(home: ProviderHome, owner: str) -> list[tuple[str, str]]:
    """Feed and reason of an organisation's rows in quarantine."""
    rows = home.rows("usage/quarantine", JANUARY)
    return sorted((row["feed"], row["reason"]) for row in rows if json.loads(row["raw"])["owner_id"] == owner)


def last_check(home: ProviderHome, table: str, name: str) -> dg.AssetCheckEvaluation:
    """What a check of a table said last."""
    key = dg.AssetCheckKey(dg.AssetKey(table.split("/")), name)
    with home.environment(), dg.DagsterInstance.get() as instance:
        (record,) = instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
    return record.event.dagster_event.asset_check_evaluation_data


def test_nobody_elses_fault_changes_a_bill(home):
    assert home.row("invoices/drafts", JANUARY, payer_id="good")["fees_cents"] == 744 * 10
    assert flags(home, "good") == []


def test_usage_of_an_unknown_organisation_is_quarantined_and_makes_no_invoice(home):
    assert refused(home, "ghost") == [
        ("one_shots", "org_unknown"), ("runtime_intervals", "org_unknown"), ("storage_samples", "org_unknown"),
    ]  # fmt: skip
    assert home.rows("rating/charges", JANUARY, owner_id="ghost") == []
    assert home.rows("invoices/drafts", JANUARY, payer_id="ghost") == []
    assert parked(home, "ghost") == []


def test_usage_after_closing_is_quarantined_to_the_microsecond(home):
    assert refused(home, "leaver") == [
        ("one_shots", "after_close"), ("runtime_intervals", "after_close"), ("storage_samples", "after_close"),
        ("traffic_deltas", "after_close"), ("unit_counts", "after_close"),
    ]  # fmt: skip
    (late,) = [
        json.loads(row["raw"])
        for row in home.rows("usage/quarantine", JANUARY, feed="runtime_intervals", reason="after_close")
    ]
    assert (late["instance_id"], late["resource_id"], late["slug"]) == ("after", "leaver-apps", "apps.s")


def test_a_closed_organisation_pays_up_to_the_end_of_its_last_day(home):
    billed = lines(home, "leaver")

    assert parked(home, "leaver") == []
    # The open run, and one second of the run over midnight; one GB for 15 days; the seats that were counted in time.
    assert (billed["apps.s"]["duration_s"], billed["apps.s"]["amount_cents"]) == (15 * 86_400 + 1, 36_00)
    assert (billed["disk"]["duration_s"], billed["disk"]["amount_cents"]) == (15 * 86_400, 3_60)
    assert billed["seats"]["amount_cents"] == 6_00
    assert billed.keys() == {"apps.s", "disk", "seats"}


def test_refused_usage_is_counted_as_quarantined_in_the_receipts(home):
    receipts = home.generation("usage/file_receipts", JANUARY).read()

    by_feed = {
        feed: rows["quarantined_rows"].sum() for (feed,), rows in receipts.partition_by("feed", as_dict=True).items()
    }
    assert {feed: count for feed, count in by_feed.items() if count} == {
        "one_shots": 2, "runtime_intervals": 2, "storage_samples": 2, "traffic_deltas": 1, "unit_counts": 1,
    }  # fmt: skip
    assert home.generation("usage/quarantine", JANUARY).read().height == 8


def test_the_alarm_says_how_much_nobody_can_be_billed_for(home):
    alarm = last_check(home, "usage/quarantine", "usage_has_an_owner")

    assert (alarm.passed, alarm.severity) == (False, dg.AssetCheckSeverity.WARN)
    figures = {name.removeprefix(f"{JANUARY} "): value.value for name, value in alarm.metadata.items()}
    assert figures["rows"] == 8
    assert figures["runtime_intervals org_unknown seconds"] == 12 * 3600
    assert figures["storage_samples after_close bytes"] == 100 * GB


def test_flags_are_counted_by_a_check_that_stops_nothing(home):
    warning = last_check(home, "usage/flags", "nothing_is_flagged")

    assert (warning.passed, warning.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert warning.metadata[f"{JANUARY} stale_open"].value == 1


def test_time_that_is_told_twice_is_a_warning_that_stops_nothing(home):
    warning = last_check(home, "rating/overlapped_time", "no_time_is_told_twice")

    assert (warning.passed, warning.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert warning.metadata[str(JANUARY)].value == "Got 3 results, configured to warn if != 0"


def test_an_amount_below_the_cent_is_a_line_of_nothing(home):
    assert lines(home, "tiny")["apps.s"]["amount_cents"] == 0
    assert home.row("invoices/drafts", JANUARY, payer_id="tiny")["payable_cents"] == 0


@pytest.mark.parametrize(
    ("owner", "reason"),
    [
        ("unpriced", "price_missing"),
        ("doubly", "price_overlap"),
        ("interrupted", "price_gap"),
        ("shapeless", "price_missing"),
        ("dollar", "currency"),
        ("untaxed", "tax_unknown"),
        ("reflavoured", "overlap_flavour"),
        ("one", "owner_conflict"),
        ("two", "owner_conflict"),
        ("nameless", "name_length"),
        ("eternal", "too_long"),
        ("contradicted", "event_conflict"),
        # Known, but only from a later instant on: its data is wrong, not its usage.
        ("early", "org_unknown"),
    ],
)
def test_an_organisation_whose_bill_cannot_be_right_is_parked_with_its_reason(home, owner, reason):
    assert parked(home, owner) == [reason]


def test_a_price_list_that_is_no_price_is_refused_by_name(home):
    (price,) = home.rows("accounts/refused_prices", JANUARY)

    assert (price["price_id"], price["reason"]) == ("shapeless", "tier_shape")


@pytest.mark.parametrize(
    ("owner", "reason", "twice_s", "seconds"),
    [
        ("overlapping", "overlap", 3600, 13 * 3600),
        ("restarting", "double_start", 22 * 86_400 - 12 * 3600, 22 * 86_400),
        ("skewed", "skew", 1, 13 * 3600),
    ],
)
def test_time_that_is_told_twice_is_billed_once_and_counted(home, owner, reason, twice_s, seconds):
    (told,) = home.rows("rating/overlapped_time", JANUARY, owner_id=owner)

    assert (told["reason"], told["instances"], told["overlapped_us"]) == (reason, 1, twice_s * 10**6)
    assert lines(home, owner)["apps.s"]["duration_s"] == seconds


def test_a_run_that_has_been_open_for_a_year_is_billed_and_flagged(home):
    assert flags(home, "stale") == [("stale_open", 1, "1 rows, e.g. stale-apps: open for 427 days at most")]
    assert lines(home, "stale")["apps.s"]["duration_s"] == 31 * 86_400


def test_a_counter_sent_as_a_delta_is_billed_and_flagged(home):
    assert flags(home, "spiky") == [("spike", 1, "1 rows, e.g. spiky-net: up to 100000000000 bytes at once")]
    assert lines(home, "spiky")["net"]["amount_cents"] == 114_00


def test_a_value_that_nobody_renewed_is_billed_on_and_flagged(home):
    assert flags(home, "gappy") == [("gap", 1, "1 rows, e.g. gappy-disk: held for 92 days at most")]
    assert lines(home, "gappy")["disk"]["duration_s"] == 31 * 86_400


def test_names_that_look_alike_are_flagged_and_the_same_name_is_not(home):
    for owner in ("latin", "cyrillic"):
        ((reason, rows, _),) = flags(home, owner)
        assert (reason, rows) == ("name_confusable", 1)
    assert flags(home, "reborn") == []


def test_signs_that_turn_text_around_are_taken_out_of_names_and_flagged(home):
    assert home.row("invoices/drafts", JANUARY, payer_id="unsafe")["name"] == "Evil Corp"
    assert [reason for reason, _, _ in flags(home, "unsafe")] == ["name_unsafe"]


def test_an_organisation_of_a_former_name_inherits_nothing(home):
    assert lines(home, "reborn")["apps.s"]["amount_cents"] == 1_20
    assert home.row("credits/credit_statements", JANUARY, payer_id="reborn")["balance_before_cents"] == 0


#: Case of the catalogue -> file and test that holds it.
BAD_INPUTS = {
    "B03": (
        "month/test_late_and_again.py",
        "test_the_next_invoice_has_the_line_and_the_issued_document_keeps_its_bytes",
    ),
    "B25": ("month/test_bad_months.py", "test_usage_of_an_unknown_organisation_is_quarantined_and_makes_no_invoice"),
    "B26": ("month/test_bad_months.py", "test_an_organisation_whose_bill_cannot_be_right_is_parked_with_its_reason"),
    "B29": ("month/test_bad_months.py", "test_names_that_look_alike_are_flagged_and_the_same_name_is_not"),
    "B30": ("month/test_bad_months.py", "test_signs_that_turn_text_around_are_taken_out_of_names_and_flagged"),
    "B31": ("documents/test_rendering.py", "test_hostile_names_are_cut_and_keep_the_figures_on_their_pages"),
    "B32": ("rating/test_unrated_usage.py", "test_a_resource_that_two_organisations_use_at_once_concerns_both"),
    "B33": ("rating/test_runs_and_spans.py", "test_each_payer_pays_what_was_used_in_its_time"),
    "B35": ("month/test_bad_months.py", "test_a_closed_organisation_pays_up_to_the_end_of_its_last_day"),
    "B36": ("month/test_bad_months.py", "test_an_organisation_of_a_former_name_inherits_nothing"),
    "B40": ("month/test_bad_months.py", "test_time_that_is_told_twice_is_billed_once_and_counted"),
    "B41": ("rating/test_unrated_usage.py", "test_an_instance_that_is_two_things_at_once_is_reported"),
    "B44": ("month/test_laws.py", "test_an_open_run_is_billed_in_every_month_up_to_its_end"),
    "B46": ("month/test_bad_months.py", "test_time_that_is_told_twice_is_billed_once_and_counted"),
    "B47": ("month/test_bad_months.py", "test_a_run_that_has_been_open_for_a_year_is_billed_and_flagged"),
    "B48": ("month/test_bad_months.py", "test_an_organisation_whose_bill_cannot_be_right_is_parked_with_its_reason"),
    "B50": ("month/test_late_and_again.py", "test_usage_of_a_month_that_is_too_old_is_refused_and_only_told"),
    "B51": ("month/test_bad_months.py", "test_time_that_is_told_twice_is_billed_once_and_counted"),
    "B52": ("rating/test_runs_and_spans.py", "test_seconds_are_taken_once_from_the_sum_of_the_line"),
    "B53": ("rating/test_runs_and_spans.py", "test_a_month_bills_what_falls_inside_it"),
    "B63": ("month/test_bad_months.py", "test_a_counter_sent_as_a_delta_is_billed_and_flagged"),
    "B64": ("month/test_bad_months.py", "test_a_counter_sent_as_a_delta_is_billed_and_flagged"),
    "B65": ("month/test_bad_months.py", "test_a_value_that_nobody_renewed_is_billed_on_and_flagged"),
    "B72": ("rating/test_unrated_usage.py", "test_usage_before_its_first_price_is_reported"),
    "B73": ("rating/test_unrated_usage.py", "test_two_equally_specific_prices_at_once_are_reported_by_name"),
    "B74": ("month/test_bad_months.py", "test_an_organisation_whose_bill_cannot_be_right_is_parked_with_its_reason"),
    "B75": ("rating/test_runs_and_spans.py", "test_a_price_change_inside_the_month_makes_two_lines"),
    "B76": ("rating/test_price_versions.py", "test_a_version_that_cannot_be_right_is_refused_whole"),
    "B77": ("rating/test_tiers.py", "test_an_edge_belongs_to_the_upper_tier"),
    "B78": ("month/test_corrections.py", "test_each_line_and_its_corrections_are_the_line_of_complete_data"),
    "B79": ("rating/test_unrated_usage.py", "test_a_price_in_another_currency_is_never_converted"),
    "B80": ("rating/test_runs_and_spans.py", "test_amounts_are_in_the_minor_unit_of_their_currency"),
    "B81": ("spec/test_tax.py", "test_an_eu_business_without_a_valid_vat_number_of_its_country_is_not_guessed"),
    "B82": ("spec/test_tax.py", "test_a_rate_holds_from_its_first_day"),
    "B83": ("spec/test_invoicing.py", "test_vat_is_rounded_once_on_the_subtotal"),
    "B90": ("month/test_states.py", "test_money_given_back_after_the_close_is_told_in_the_month_that_sees_it"),
    "B95": (
        "month/test_corrections.py",
        "test_what_an_invoice_has_no_room_for_is_a_credit_note_that_gives_back_what_had_paid",
    ),
    "B96": ("month/test_bad_months.py", "test_an_amount_below_the_cent_is_a_line_of_nothing"),
    "B99": ("spec/test_bill_flags.py", "test_fees_beyond_a_hundred_times_what_was_provisioned_are_flagged"),
    "B100": ("spec/test_bill_flags.py", "test_fees_that_change_by_more_than_half_are_flagged"),
    "B101": ("month/test_documents_beside.py", "test_the_same_reference_is_invoiced_once"),
    "B102": ("spec/test_period.py", "test_nothing_else_is_a_month"),
    "B103": (
        "month/test_late_and_again.py",
        "test_closing_an_issued_month_again_tells_the_difference_and_changes_nothing",
    ),
}


@pytest.mark.parametrize("case", BAD_INPUTS)
def test_every_bad_input_of_a_month_has_the_test_that_is_named_for_it(case):
    file, name = BAD_INPUTS[case]
    assert f"def {name}(" in (TESTS / file).read_text()


#: How reason codes are spelled in the sources.
_SPELLED = {
    "*.py": (
        r'reason=pl\.lit\("([a-z_]+)"\)', r'refused_reason="([a-z_]+)"', r'^\s+\("([a-z_]+)", "(?!\1)[a-z]',
        r'\(\("([a-z_]+)", detail\)', r'return "((?:schema|money)_[a-z]+)"', r"then '([a-z]+_[a-z_]+)'",
        r'^(?:ORG_UNKNOWN|AFTER_CLOSE) = "([a-z_]+)"', r'pl\.lit\("(owner_missing)"\)',
        r"'([a-z]+_[a-z]+)' as reason", r"'([a-z]+_[a-z]+): ' \|\|",
    ),
    "*.sql": (r"then '([a-z]+_[a-z]+)'", r"'([a-z]+_[a-z]+)' as reason"),
}  # fmt: skip


def spelled_reasons() -> set[str]:
    """Every reason code that the sources spell out."""
    texts = {"*.py": sorted(SOURCES.rglob("*.py")), "*.sql": sorted(MODELS.rglob("*.sql"))}
    return {
        code
        for kind, files in texts.items()
        for file in files
        for pattern in _SPELLED[kind]
        for code in re.findall(pattern, file.read_text(), re.MULTILINE)
        if "sample" not in file.parts
    }


def test_every_reason_code_is_reached_by_a_test():
    """A code that no test names could never be given, and nobody would notice."""
    reasons = spelled_reasons()
    tests = "\n".join(file.read_text() for file in sorted(TESTS.rglob("*.py")))

    assert {"price_missing", "too_long", "org_unknown", "after_close", "spike", "too_late", "late_file"} < reasons
    assert {reason for reason in reasons if f'"{reason}"' not in tests} == set()
