"""Rows that intake refuses: what is wrong with an otherwise good row, and the reason."""

from intake_home import at, beat, count, delta, one_shot, run, sample

from billing_pipeline.sample.landing import Row

DAY = "2026-10-05"
NOON, AT_ONE = f"{DAY} 12:00", f"{DAY} 13:00"
KNOWN = {"source": "office", "ingested_at": at(NOON), "event_id": "e1", "valid_from": at("2026-01-01")}

GOOD: dict[str, Row] = {
    "runtime_intervals": run("e1", NOON, AT_ONE, ingested=AT_ONE),
    "runtime_heartbeats": beat("e1", NOON),
    "storage_samples": sample("e1", NOON, 10),
    "traffic_deltas": delta("e1", NOON, AT_ONE, 10),
    "unit_counts": count("e1", NOON, "3"),
    "one_shots": one_shot("e1", NOON),
    "organisations": KNOWN
    | {"owner_id": "orga_1", "name": "Shop", "kind": "business", "address_line1": "1, rue Haute", "postcode": "75001"}
    | {"city": "Paris", "country": "FR", "currency": "EUR", "language": "fr", "billing_emails": "a@example.com"}
    | {"opened_on": at("2026-01-01") // 86_400_000_000, "is_trusted": False},
    "price_tiers": KNOWN
    | {"price_id": "p1", "currency": "EUR", "slug": "apps.S", "basis": "runtime", "per_quantity": 1}
    | {"per_seconds": 3600, "tier_mode": "flat", "tier_from": 0, "unit_price": "0.01"},
    "spend_rules": KNOWN | {"rule_id": "r1", "name": "Partner", "currency": "EUR", "kind": "minimum", "amount": "10"},
    "credit_grants": {key: value for key, value in KNOWN.items() if key != "valid_from"}
    | {"grant_id": "g1", "owner_id": "orga_1", "kind": "free", "name": "Welcome", "amount": "10", "currency": "EUR"}
    | {"starts_at": at("2026-01-01"), "priority": 1},
    "refill_agreements": {key: value for key, value in KNOWN.items() if key != "valid_from"}
    | {"owner_id": "orga_1", "billing_month": "2026-10", "amount": "10", "author": "me", "reason": "agreed"},
    "payment_methods": {key: value for key, value in KNOWN.items() if key != "valid_from"}
    | {"method_id": "m1", "owner_id": "orga_1", "kind": "card", "is_default": True},
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
    ("runtime_intervals", {"resource_name": "shop\0"}, "row_encoding"),
    ("runtime_intervals", {"stopped_at": at(NOON) - 1}, "stop_before_start"),
    ("runtime_intervals", {"started_at": at(NOON) * 1000}, "time_range"),
    ("runtime_intervals", {"ingested_at": at(NOON) * 1000}, "time_range"),
    ("runtime_intervals", {"started_at": at(f"{DAY} 13:05") + 1, "stopped_at": None}, "future"),
    ("runtime_heartbeats", {"sampled_at": None}, "value_missing"),
    ("runtime_heartbeats", {"service": None}, "value_missing"),
    ("runtime_heartbeats", {"flavour": "two words"}, "id_syntax"),
    ("runtime_heartbeats", {"sampled_at": at(f"{DAY} 12:05") + 1}, "future"),
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
    ("unit_counts", {"quantity": "9" * 19}, "too_big"),
    *(("unit_counts", {"quantity": text}, "not_finite") for text in ("NaN", "-Infinity", "-0")),
    ("one_shots", {"quantity": "-1"}, "negative"),
    ("one_shots", {"unit_price": "-0.01"}, "negative"),
    *(("one_shots", {"unit_price": text}, "number_syntax") for text in ("12,34", "1e30", "１２", "1." + "0" * 21)),
    *(("one_shots", {"unit_price": text}, "not_finite") for text in ("nan", "inf", "+Inf", "-0.00")),
    ("one_shots", {"unit_price": "9" * 19}, "too_big"),
    ("one_shots", {"unit_price": "1000000000", "quantity": "1"}, "too_big"),
    ("one_shots", {"description": "Audit\0"}, "row_encoding"),
    ("one_shots", {"description": "x" * 10_001}, "too_big"),
    ("one_shots", {"discount_rate": "1.01"}, "rate_range"),
    ("one_shots", {"invoice": "yearly"}, "invoice_kind"),
    ("organisations", {"kind": "charity"}, "kind_unknown"),
    ("organisations", {"billing_period": "quarter"}, "kind_unknown"),
    ("organisations", {"country": "fr"}, "country_syntax"),
    ("organisations", {"currency": "euro"}, "currency_syntax"),
    ("organisations", {"discount_rate": "-0.1"}, "rate_range"),
    ("organisations", {"price_factor": "-1"}, "rate_range"),
    ("price_tiers", {"basis": "guessed"}, "basis_unknown"),
    ("price_tiers", {"tier_mode": "volume"}, "tier_shape"),
    ("price_tiers", {"currency": "EURO"}, "currency_syntax"),
    ("spend_rules", {"kind": "discount", "amount": None}, "spend_rule_shape"),
    ("spend_rules", {"owner_id": "../orga"}, "id_syntax"),
    ("one_shots", {"owner_id": "../orga"}, "id_syntax"),
    ("vendor_charges", {"owner_id": "a/b"}, "id_syntax"),
    ("organisations", {"owner_id": "orga 1"}, "id_syntax"),
    ("credit_grants", {"kind": "gift"}, "kind_unknown"),
    ("credit_grants", {"amount": "-1"}, "negative"),
    ("credit_grants", {"expires_at": at("2025-01-01")}, "stop_before_start"),
    ("refill_agreements", {"billing_month": "2026-13"}, "month_syntax"),
    ("refill_agreements", {"amount": "-1"}, "negative"),
    ("refill_agreements", {"author": " "}, "value_missing"),
    ("refill_agreements", {"reason": ""}, "value_missing"),
    ("payment_methods", {"kind": "cheque"}, "kind_unknown"),
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
    ("2026-10-05T12:00:00+14:30", "time_syntax"),
    # No leap second: it is the last second of a day in UTC.
    ("2026-10-05T12:00:60Z", "time_syntax"),
    ("2026-10-05T12:60:00Z", "time_syntax"),
    ("2026-10-04T23:60:59Z", "time_syntax"),
    ("2026-10-25T02:30:00 Europe/Paris", "time_local"),
    ("2026-03-29T02:30:00[Europe/Paris]", "time_local"),
    ("2026-10-25T02:30:00 CEST", "time_local"),
    ("2026-02-30T12:00:00Z", "time_syntax"),
    ("2026-10-05T12:00:00.0000001Z", "time_syntax"),
    ("1790812800", "time_syntax"),
    ("1969-10-05T12:00:00Z", "time_range"),
]


#: Lines that are no rows of a CSV file, and those that are no rows of a file of JSON lines.
MISFITS: list[tuple[str, bytes, str]] = [
    (".csv", b"too,short", "row_shape"),
    (".csv", b",".join([b"long"] * 30), "row_shape"),
    (".csv", b'e1,"half" quoted,,,,,,,,,,', "row_shape"),
    (".csv", b"e1,\xff\xfe,,,,,,,,,,", "row_encoding"),
    (".csv", b"e1,meter,2026-10-05T12:00:00Z,perhaps,orga_1,res-1,shop,m,par,2026-10-05T12:00:00Z,1", "row_cast"),
    (".jsonl", b"nonsense", "row_shape"),
    (".jsonl", b'["a", "list"]', "row_shape"),
    (".jsonl", b'{"event_id": "cut of', "row_shape"),
    (".jsonl", b'{"event_id": "e1", "event_id": "e2"}', "row_shape"),
    (".jsonl", b'{"event_id": "\\ud800"}', "row_shape"),
    (".jsonl", b'{"event_id": "\xff"}', "row_encoding"),
    (".jsonl", b'{"event_id": 1}', "row_cast"),
    (".jsonl", b'{"event_id": {"id": "e1"}}', "row_cast"),
    (".jsonl", b'{"event_id": "e1"}', "value_missing"),
]
