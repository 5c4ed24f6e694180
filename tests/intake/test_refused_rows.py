"""Rows that the contract refuses: each goes to quarantine with its reason, and its neighbours are billed."""

import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from intake_home import IntakeHome, at, beat, count, delta, fault, one_shot, run, sample, vendor_charge

from billing_pipeline.intake import cleaning
from billing_pipeline.intake.contracts import FEEDS
from billing_pipeline.sample.landing import FEEDS as COLUMNS
from billing_pipeline.sample.landing import Row, arrivals_of

DAY = "2026-10-05"
NOON, AT_ONE = f"{DAY} 12:00", f"{DAY} 13:00"
KNOWN = {"source": "office", "ingested_at": at(NOON), "event_id": "e1", "valid_from": at("2026-01-01")}

GOOD: dict[str, Row] = {
    "runtime_intervals": run("e1", NOON, AT_ONE, ingested=AT_ONE),
    "runtime_heartbeats": beat("e1", NOON),
    "unusable_intervals": fault("e1", NOON, AT_ONE),
    "storage_samples": sample("e1", NOON, 10),
    "traffic_deltas": delta("e1", NOON, AT_ONE, 10),
    "unit_counts": count("e1", NOON, "3"),
    "one_shots": one_shot("e1", NOON),
    "vendor_charges": vendor_charge("e1", NOON),
    "organisations": KNOWN
    | {"owner_id": "orga_1", "name": "Shop", "kind": "business", "address_line1": "1, rue Haute", "postcode": "75001"}
    | {"city": "Paris", "country": "FR", "currency": "EUR", "language": "fr", "billing_emails": "a@example.com"}
    | {"opened_on": at("2026-01-01") // 86_400_000_000, "is_trusted": False},
    "price_tiers": KNOWN
    | {"price_id": "p1", "currency": "EUR", "slug": "apps.S", "basis": "runtime", "per_quantity": 1}
    | {"per_seconds": 3600, "tier_mode": "flat", "tier_from": 0, "unit_price": "0.01"},
    "credit_grants": {key: value for key, value in KNOWN.items() if key != "valid_from"}
    | {"grant_id": "g1", "owner_id": "orga_1", "kind": "free", "name": "Welcome", "amount": "10", "currency": "EUR"}
    | {"starts_at": at("2026-01-01"), "priority": 1},
    "refill_agreements": {key: value for key, value in KNOWN.items() if key != "valid_from"}
    | {"owner_id": "orga_1", "billing_month": "2026-10", "amount": "10", "author": "me", "reason": "agreed"},
    "payments": {key: value for key, value in KNOWN.items() if key != "valid_from"}
    | {"payment_id": "p1", "owner_id": "orga_1", "amount": "10", "currency": "EUR", "received_at": at(NOON)}
    | {"method_kind": "card", "outcome": "succeeded"},
}

#: feed, what is wrong with an otherwise good row, reason.
REFUSED: list[tuple[str, Row, str]] = [
    ("runtime_intervals", {"event_id": None}, "value_missing"),
    ("runtime_intervals", {"started_at": None}, "value_missing"),
    ("runtime_intervals", {"owner_id": None}, "value_missing"),
    ("runtime_intervals", {"flavour": None}, "value_missing"),
    ("runtime_intervals", {"event_id": "with space"}, "id_syntax"),
    ("runtime_intervals", {"event_id": "é1"}, "id_syntax"),
    ("runtime_intervals", {"source": "x" * 129}, "id_syntax"),
    ("runtime_intervals", {"instance_id": ""}, "id_syntax"),
    ("runtime_intervals", {"resource_id": "line\n"}, "id_syntax"),
    ("runtime_intervals", {"owner_id": "../orga"}, "id_syntax"),
    ("runtime_intervals", {"owner_id": "x" * 65}, "id_syntax"),
    ("runtime_intervals", {"owner_id": " orga_1"}, "id_syntax"),
    ("runtime_intervals", {"owner_id": "orga_1\n"}, "id_syntax"),
    ("runtime_intervals", {"stopped_at": at(NOON) - 1}, "stop_before_start"),
    ("runtime_intervals", {"started_at": at(NOON) * 1000}, "time_range"),
    ("runtime_intervals", {"ingested_at": at(NOON) * 1000}, "time_range"),
    ("runtime_intervals", {"started_at": at(f"{DAY} 13:05") + 1, "stopped_at": None}, "future"),
    ("runtime_heartbeats", {"sampled_at": None}, "value_missing"),
    ("runtime_heartbeats", {"service": None}, "value_missing"),
    ("runtime_heartbeats", {"flavour": "two words"}, "id_syntax"),
    ("runtime_heartbeats", {"sampled_at": at(f"{DAY} 12:05") + 1}, "future"),
    ("unusable_intervals", {"stopped_at": None}, "value_missing"),
    ("unusable_intervals", {"stopped_at": at(NOON) - 1}, "stop_before_start"),
    ("storage_samples", {"bytes": -1}, "negative"),
    ("storage_samples", {"bytes": 10**18 + 1}, "too_big"),
    ("storage_samples", {"metric": "two words"}, "id_syntax"),
    ("traffic_deltas", {"bytes": -1}, "negative"),
    ("traffic_deltas", {"bytes": 10**18 + 1}, "too_big"),
    ("traffic_deltas", {"stopped_at": at(NOON) - 1}, "stop_before_start"),
    ("traffic_deltas", {"stopped_at": None}, "value_missing"),
    ("unit_counts", {"quantity": "-1"}, "negative"),
    ("unit_counts", {"quantity": str(10**12 + 1)}, "too_big"),
    *(("unit_counts", {"quantity": text}, "number_syntax") for text in ("1e3", "1_000", " 3", "0x10", "٣", "3.0", "")),
    ("one_shots", {"quantity": "-1"}, "negative"),
    ("one_shots", {"unit_price": "-0.01"}, "negative"),
    *(("one_shots", {"unit_price": text}, "number_syntax") for text in ("12,34", "NaN", "inf", "1e3", "1." + "0" * 21)),
    ("one_shots", {"unit_price": "9" * 19}, "number_syntax"),
    ("one_shots", {"discount_rate": "1.01"}, "rate_range"),
    ("one_shots", {"invoice": "specific"}, "invoice_kind"),
    ("one_shots", {"sells_credits": True}, "invoice_kind"),
    ("vendor_charges", {"amount": "-0.01"}, "negative"),
    ("vendor_charges", {"amount": "1000000000"}, "too_big"),
    ("vendor_charges", {"amount": "1,50"}, "number_syntax"),
    ("organisations", {"kind": "charity"}, "kind_unknown"),
    ("organisations", {"country": "fr"}, "country_syntax"),
    ("organisations", {"currency": "euro"}, "currency_syntax"),
    ("organisations", {"discount_rate": "-0.1"}, "rate_range"),
    ("organisations", {"price_factor": "-1"}, "rate_range"),
    ("price_tiers", {"basis": "guessed"}, "basis_unknown"),
    ("price_tiers", {"tier_mode": "volume"}, "tier_shape"),
    ("price_tiers", {"currency": "EURO"}, "currency_syntax"),
    ("credit_grants", {"kind": "gift"}, "kind_unknown"),
    ("credit_grants", {"amount": "-1"}, "negative"),
    ("credit_grants", {"expires_at": at("2025-01-01")}, "stop_before_start"),
    ("refill_agreements", {"billing_month": "2026-13"}, "month_syntax"),
    ("refill_agreements", {"amount": "-1"}, "negative"),
    ("payments", {"outcome": "lost"}, "kind_unknown"),
    ("payments", {"amount": "-1"}, "negative"),
]

#: Instants as text, and the reason why a row with it is refused; None: it is read.
TEXTS: list[tuple[str, str | None]] = [
    ("2026-10-05T12:00:00Z", None),
    ("2026-10-05 14:00:00.000000+02:00", None),
    ("2026-10-05T12:00:00", "naive_timestamp"),
    ("2026-10-05 12:00:00.5", "naive_timestamp"),
    ("2026-10-05", "time_syntax"),
    ("2026-10-05T24:00:00Z", "time_syntax"),
    ("2026-10-05T12:00:00+25:00", "time_syntax"),
    ("2026-10-05T23:59:60Z", "time_syntax"),
    ("2026-02-30T12:00:00Z", "time_syntax"),
    ("2026-10-05T12:00:00.0000001Z", "time_syntax"),
    ("1790812800", "time_syntax"),
    ("1969-10-05T12:00:00Z", "time_range"),
]


def write(home: IntakeHome, feed: str, rows: list[Row], **types: pl.DataType) -> Path:
    """One file of a feed with some columns of another type, or the values of a test's own."""
    columns = [name for name in types if rows and isinstance(rows[0].get(name), str | type(None))]
    plain = arrivals_of(feed, [{key: value for key, value in row.items() if key not in columns} | {"arrival_date": None}
                               for row in rows])  # fmt: skip
    own = {name: pl.Series(name, [row[name] for row in rows], dtype=types[name]) for name in columns}
    file = home.drop(feed, DAY, "meter.parquet")
    plain.select(*COLUMNS[feed]).with_columns(**own).write_parquet(file)
    return file


def refused(home: IntakeHome, feed: str) -> list[tuple[int, str]]:
    """Position and reason of the quarantined rows of October."""
    if FEEDS[feed].is_usage:
        return home.close(feed, "2026-10").refused
    return home.read(feed, "2026-10").quarantine.select("file_row", "reason").rows()


@pytest.mark.parametrize("feed", sorted(GOOD))
def test_a_bad_row_is_quarantined_for_its_reason_and_the_good_ones_stay(home: IntakeHome, feed: str) -> None:
    cases = [(row, reason) for name, row, reason in REFUSED if name == feed]
    bad = [GOOD[feed] | wrong for wrong, _ in cases]
    home.land(feed, GOOD[feed], *bad, day=DAY)
    assert refused(home, feed) == [(position, reason) for position, (_, reason) in enumerate(cases, 1)]


@pytest.mark.parametrize("feed", sorted(GOOD))
def test_a_good_row_is_accepted(home: IntakeHome, feed: str) -> None:
    home.land(feed, GOOD[feed], day=DAY)
    assert refused(home, feed) == []


def test_instants_as_text_need_an_offset_and_a_possible_time(home: IntakeHome) -> None:
    rows = [sample(f"e{n}", NOON, 10, resource_id=f"r{n}") | {"sampled_at": text} for n, (text, _) in enumerate(TEXTS)]
    write(home, "storage_samples", rows, sampled_at=pl.String())
    october = home.close("storage_samples", "2026-10")
    assert october.refused == [(n, reason) for n, (_, reason) in enumerate(TEXTS) if reason]
    assert october.values("sampled_us") == [(at(NOON),)] * 2


def test_every_reason_code_of_a_row_has_a_case() -> None:
    spelled = {reason for feed in FEEDS.values() for reason, _ in feed.all_checks}
    source = Path(cleaning.__file__).read_text(encoding="utf-8")
    spelled |= set(re.findall(r"then '([a-z_]+)'", source)) | {"time_syntax", "number_syntax"}
    assert {reason for _, _, reason in REFUSED} | {reason for _, reason in TEXTS if reason} == spelled


def test_a_refused_row_is_kept_whole_with_its_place(home: IntakeHome) -> None:
    home.land("storage_samples", GOOD["storage_samples"], GOOD["storage_samples"] | {"bytes": -7, "event_id": "e2"})
    october = home.close("storage_samples", "2026-10")
    ((path, raw),) = october.part("quarantine").select("path", "raw").rows()
    assert path == f"storage_samples/arrival_date={DAY}/meter.parquet"
    kept: dict[str, Any] = json.loads(raw)
    assert (kept["event_id"], kept["bytes"], kept["metric"]) == ("e2", -7, "cellar.storage")
    assert october.receipts == {f"{DAY}/meter": (2, 1, 0, 0, 1)}


def test_a_refused_row_is_counted_with_the_day_of_its_file_whatever_its_own_instants_say(home: IntakeHome) -> None:
    home.land("storage_samples", GOOD["storage_samples"] | {"ingested_at": at("2150-01-01"), "bytes": -1}, day=DAY)
    assert home.close("storage_samples", "2026-10").receipts == {f"{DAY}/meter": (1, 0, 0, 0, 1)}


def test_a_withdrawal_only_needs_its_key(home: IntakeHome) -> None:
    row = GOOD["traffic_deltas"]
    home.land("traffic_deltas", row, row | {"ingested_at": at("2026-10-05 14:00"), "bytes": -1, "is_deleted": True})
    october = home.close("traffic_deltas", "2026-10")
    assert (october.refused, october.values("bytes")) == ([], [])


def test_a_clock_may_run_five_minutes_ahead(home: IntakeHome) -> None:
    home.land("storage_samples", sample("e1", "2026-10-05 12:05", 10, ingested=NOON))
    assert home.close("storage_samples", "2026-10").refused == []
