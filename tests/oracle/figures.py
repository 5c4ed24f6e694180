"""The figures that are compared: what the pipeline published and what the oracle says, in the same words.

A figure has a payer, a kind and a name; where a name occurs twice its figures are a sorted list. Also here: a home for
the pipeline, and running it as a user does.
"""

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

from oracle import Bill, Charge, LineKey, Month
from oracle_events import instant
from oracle_rating import UNTOLD, Piece, unite

HERE = Path(__file__).parent
# nobody reads events
DAGSTER = """telemetry:
  enabled: false
event_log_storage:
  module: dagster._core.storage.event_log
  class: InMemoryEventLogStorage
"""
SETTINGS = """[seller]
name = "Edges SAS"
address = ["1 rue des Bords", "44000 Nantes", "France"]
country = "FR"
vat_number = "FR69091427757"
legal_id = "091427757"
legal_mention = "SAS au capital de 1 000 €, RCS Nantes 091 427 757"
email = "billing@edges.example"
iban = "FR7699999044170002109876517"
bic = "NMBSFRPPXXX"
"""

KINDS = ("parked", "charge", "duration", "share", "unusable", "line", "adjustment", "statement", "lot", "draft")
#: Only where the oracle tells one: the duration of granules and of grouped lines is nobody's.
TOLD_BY_THE_ORACLE_ONLY = ("duration",)
NOT_METERED = ("one_shot", "vendor")
PRICED = ("runtime", "stored", "moved", "units", *NOT_METERED)

STATEMENT = ("fees", "free_before", "prepaid_before", "balance_before", "free_used", "free_expired", "prepaid_used")
STATEMENT += ("forecast", "pending", "refill", "balance_after", "change")
LOT = ("left_before", "used", "expired", "left_after")
DRAFT = ("fees", "used_credits", "subtotal", "vat", "payable")

Name = tuple[str, str, Any]  # (payer, kind of figure, which one)
Figures = dict[Name, tuple[Any, ...]]
Row = dict[str, Any]


# ---- running the pipeline --------------------------------------------------------------------------------------


class MonthsStoppedError(Exception):
    """The pipeline did not close the months; its output is the message."""


def make_home(home: Path, settings: str = "") -> None:
    """Settings of a seller and a Dagster home, without a landing."""
    dagster = home / "dagster"
    dagster.mkdir(parents=True)
    (home / "settings.toml").write_text(settings + SETTINGS, encoding="utf-8")
    (dagster / "dagster.yaml").write_text(DAGSTER, encoding="utf-8")


def close_months(home: Path, months: Sequence[str]) -> None:
    """Close the months of a home; its folder `tables` then holds what was published."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BILLING_")}
    environment |= {"BILLING_HOME": str(home), "DAGSTER_HOME": str(home / "dagster")}
    # the pipeline beside these tests, wherever another one is installed
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(HERE.parents[1]), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, str(HERE / "close_months.py"), str(home / "tables"), f"{months[0]}..{months[-1]}"]
    closed = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if closed.returncode:
        raise MonthsStoppedError(closed.stderr + closed.stdout)


def published_rows(home: Path, month: str, table: str) -> list[Row]:
    """The rows of a published table; none where the pipeline has no such table."""
    path = home / "tables" / month / f"{table}.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


# ---- what was published ----------------------------------------------------------------------------------------


def _gathered(told: Iterable[tuple[Name, Any]]) -> Figures:
    gathered = defaultdict(list)
    for name, figure in told:
        gathered[name].append(figure)
    return {name: tuple(sorted(each, key=repr)) for name, each in gathered.items()}


def published_figures(home: Path, month: str) -> Figures:
    return _gathered(_published(home, month))


def _cents(row: Row, names: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(row[f"{name}_cents"] for name in names)


def _line_name(row: Row) -> tuple[Any, ...]:
    if row["basis"] == "vendor":
        return row["owner_id"], "vendor"
    tier_from = None if row["tier_from"] is None else int(row["tier_from"])
    factor = Fraction(row["price_factor_ppm"], 10**6)
    return row["owner_id"], row["resource_id"] or "", row["slug"], row["zone"] or "", row["price_id"], tier_from, factor


def _published(home: Path, month: str) -> Iterator[tuple[Name, Any]]:
    parked = {(row["payer_id"], row["reason"]) for row in published_rows(home, month, "invoices/parked_organisations")}
    drafts = {row["payer_id"]: row for row in published_rows(home, month, "invoices/drafts")}
    unbilled = {payer_id for payer_id, _ in parked}
    for payer_id, reason in parked:
        yield (payer_id, "parked", reason), True
    yield from _published_charges(home, month, unbilled)
    for row in published_rows(home, month, "invoices/invoice_lines"):
        is_priced = row["basis"] in PRICED
        what = (*_line_name(row), Fraction(row["quantity"])) if is_priced else "adjustment"
        yield (row["payer_id"], "line", what), row["amount_cents"]
    for row in published_rows(home, month, "credits/adjustments"):
        if row["payer_id"] in drafts and row["rule_id"]:
            yield (row["payer_id"], "adjustment", (row["rule_id"], row["kind"])), row["amount_cents"]
    for payer_id, row in drafts.items():
        yield (payer_id, "draft", None), (*_cents(row, DRAFT), Fraction(row["vat_ppm"], 10**6))
    for row in published_rows(home, month, "credits/credit_statements"):
        if row["payer_id"] in drafts:
            yield (row["payer_id"], "statement", None), (*_cents(row, STATEMENT), row["is_custom_refill"])
    for row in published_rows(home, month, "credits/credit_lots"):
        if row["payer_id"] in drafts:
            yield (row["payer_id"], "lot", row["grant_id"]), _cents(row, LOT)


def _published_charges(home: Path, month: str, unbilled: set[str]) -> Iterator[tuple[Name, Any]]:
    names = {}
    for row in published_rows(home, month, "rating/charges"):
        payer_id, name = row["payer_id"], _line_name(row)
        names[row["line_id"]] = payer_id, name
        if payer_id not in unbilled:
            told = row["basis"], Fraction(row["quantity"]), row["charge_cents"], row["is_recurring"]
            yield (payer_id, "charge", name), (*told, row.get("resources", 1))
            if row["duration_s"] is not None:
                yield (payer_id, "duration", name), row["duration_s"]
    for row in published_rows(home, month, "rating/charge_shares"):
        payer_id, name = names[row["line_id"]]
        if payer_id not in unbilled:
            share = row["resource_id"], Fraction(row["quantity"]), row["share_cents"]
            yield (payer_id, "share", name), share
    unusable: dict[tuple[str, ...], list[Piece]] = defaultdict(list)
    for row in published_rows(home, month, "rating/unusable"):
        what = tuple(row[name] for name in ("payer_id", "owner_id", "resource_id", "slug", "zone", "instance_id"))
        unusable[what].append((_instant(row["started_at"]), _instant(row["stopped_at"])))
    for what, pieces in unusable.items():
        if what[0] not in unbilled:
            yield (what[0], "unusable", what), tuple(unite(pieces))


def _instant(text: str) -> int:
    return instant(datetime.fromisoformat(text))


# ---- what the oracle says --------------------------------------------------------------------------------------


def oracle_figures(month: Month) -> Figures:
    return _gathered(_said(month))


def _name_of(charge: Charge) -> tuple[Any, ...]:
    key: LineKey = charge.key
    if charge.basis == "vendor":
        return key.owner_id, "vendor"
    priced = (None, None) if charge.basis == "one_shot" else (key.price_id, key.tier_from)
    return key.owner_id, key.resource_id, key.slug, key.zone, *priced, key.price_factor


def _said(month: Month) -> Iterator[tuple[Name, Any]]:
    for payer_id, reasons in month.parked.items():
        for reason in reasons:
            yield (payer_id, "parked", reason), True
    for charge in month.charges:
        if charge.payer_id not in month.parked:
            name = _name_of(charge)
            told = charge.basis, charge.quantity, charge.cents, charge.recurring, charge.resources
            yield (charge.payer_id, "charge", name), told
            if charge.seconds not in (None, UNTOLD):
                yield (charge.payer_id, "duration", name), charge.seconds
            for share in charge.shares:
                yield (charge.payer_id, "share", name), share
    for what, pieces in month.unusable.items():
        if what[0] not in month.parked:
            yield (what[0], "unusable", what), tuple(unite(pieces))
    for bill in month.bills.values():
        yield from _said_of(bill)


def _said_of(bill: Bill) -> Iterator[tuple[Name, Any]]:
    for charge in bill.charges:
        yield (bill.payer_id, "line", (*_name_of(charge), charge.quantity)), charge.cents
    for adjustment in bill.adjustments:
        yield (bill.payer_id, "line", "adjustment"), adjustment.cents
        if adjustment.rule_id:
            yield (bill.payer_id, "adjustment", (adjustment.rule_id, adjustment.kind)), adjustment.cents
    asked = bill.fees, bill.i - bill.d, bill.subtotal, bill.vat, bill.payable, bill.vat_rate
    yield (bill.payer_id, "draft", None), asked
    before = bill.fees, bill.a, bill.b, bill.before
    moved = bill.c, bill.d, bill.e, bill.f, bill.g, bill.h
    yield (bill.payer_id, "statement", None), (*before, *moved, bill.after, bill.i, bill.is_custom)
    for lot in bill.lots:
        yield (bill.payer_id, "lot", lot.grant_id), (lot.left_before, lot.used, lot.expired, lot.left_after)


# ---- side by side ----------------------------------------------------------------------------------------------


def differences(published: Figures, said: Figures) -> dict[Name, tuple[Any, Any]]:
    """Figures that are not the same, as (published, said by the oracle)."""
    return {
        name: (published.get(name), said.get(name))
        for name in sorted(published.keys() | said.keys(), key=repr)
        if published.get(name) != said.get(name) and not (name[1] in TOLD_BY_THE_ORACLE_ONLY and name not in said)
    }
