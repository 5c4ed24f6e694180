"""The public price list of Clever Cloud as rows of the feed `price_tiers`.

The figures are facts, read from the price system that clever-components ships as a fixture (the vintages of 2025-12-11
and 2026-01-23 lie beside this module, in EUR). A vintage is two lists: *runtime* prices per hour of a flavour, and
*countable* prices of what is stored, moved or counted, in tiers.
"""

import csv
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl

from billing_pipeline.sample.landing import FEEDS

RUNTIME_CSV = Path(__file__).with_name("catalogue_runtime.csv")
COUNTABLE_CSV = Path(__file__).with_name("catalogue_countable.csv")

_SECONDS_PER_HOUR = 3600
_MEASURED_BASIS = {"PT1H": "stored", "": "moved"}


class UnknownPriceForm(ValueError):
    """A list prices something in a way that has no counterpart in `price_tiers`."""


def price_tiers_from_catalogue(
    runtime_csv: Path,
    countable_csv: Path,
    *,
    currency: str,
    catalogue: str,
    valid_from: datetime,
    valid_to: datetime | None = None,
) -> pl.DataFrame:
    """One vintage of the public list as price tiers.

    The zone of a list names the zone for which it was asked; its prices hold in any zone, so `zone` stays null. Slugs
    are kept as the list spells them, lower case. Decimals are kept as text, digit for digit.

    Args:
        runtime_csv: the runtime list, for example `RUNTIME_CSV`.
        countable_csv: the countable list, for example `COUNTABLE_CSV`.
        currency: ISO 4217; a list has its own prices per currency, never an exchange rate.
        catalogue: the vintage, for example ``2026-01-23``.
        valid_from: UTC instant from which the prices hold.
        valid_to: UTC instant at which they end (exclusive); None while they hold.

    Returns:
        One row per price and tier, with the feed's own columns (not the four that every feed has), ordered by slug and
        tier. `price_id` is ``<catalogue>.<currency>.<slug>``.

    Raises:
        UnknownPriceForm: a price knows another time or unit than the list's usual ones, or the vintage is not there.
    """
    tiers = [_runtime_tier(listed) for listed in _listed(runtime_csv, catalogue, currency)]
    by_service: dict[str, list[dict[str, str]]] = {}
    for listed in _listed(countable_csv, catalogue, currency):
        by_service.setdefault(listed["service"], []).append(listed)
    for edges in by_service.values():
        tiers += _countable_tiers(sorted(edges, key=lambda listed: int(listed["tier"])))
    if not tiers:
        message = f"no prices of vintage {catalogue} in {currency} in {runtime_csv.name} and {countable_csv.name}"
        raise UnknownPriceForm(message)
    version = {"currency": currency, "valid_from": valid_from, "valid_to": valid_to}
    rows = [
        tier | version | {"price_id": f"{catalogue}.{currency}.{tier['slug']}"}
        for tier in sorted(tiers, key=lambda tier: (tier["slug"], tier["tier_from"]))
    ]
    columns = {name: kind for name, kind in list(FEEDS["price_tiers"].items())[4:]}
    return pl.DataFrame(
        [pl.Series(name, [row.get(name) for row in rows], dtype=kind) for name, kind in columns.items()]
    )


def _listed(path: Path, catalogue: str, currency: str) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as lines:
        return [row for row in csv.DictReader(lines) if (row["catalogue"], row["currency"]) == (catalogue, currency)]


def _runtime_tier(listed: dict[str, str]) -> dict[str, Any]:
    if listed["time_unit"] != "PT1H":
        message = f"{listed['slug_id']} is priced per {listed['time_unit']}; only prices per hour (PT1H) are known"
        raise UnknownPriceForm(message)
    return {
        "slug": listed["slug_id"].lower(),
        "basis": "runtime",
        "per_quantity": 1,
        "per_seconds": _SECONDS_PER_HOUR,
        "tier_mode": "flat",
        "tier_from": 0,
        "unit_price": listed["price"],
    }


def _countable_tiers(edges: list[dict[str, str]]) -> list[dict[str, Any]]:
    """Tiers of one service. What an older list gives away first becomes a free tier in front of the others."""
    first = edges[0]
    price = {"slug": first["service"].lower(), **_unit(first)}
    tiers: list[dict[str, Any]] = [
        {
            "tier_from": _edge(listed["min_quantity"], price),
            "tier_to": _edge(listed["max_quantity"], price) if listed["max_quantity"] else None,
            "unit_price": listed["price"],
        }
        for listed in edges
    ]
    free = int(first["first_x_free"] or 0)
    if free and Decimal(tiers[0]["unit_price"]):
        tiers[0]["tier_from"] = free
        tiers.insert(0, {"tier_from": 0, "tier_to": free, "unit_price": "0"})
    several = "graduated" if first["progressive"] == "true" else "slab"
    mode = several if len(tiers) > 1 else "flat"
    return [price | {"tier_mode": mode} | tier for tier in tiers]


def _unit(listed: dict[str, str]) -> dict[str, Any]:
    quantity = int(listed["quantity_for_price"])
    time = (listed["data_unit"], listed["time_interval"], listed["time_secability"])
    if time == ("User", "PT720H", "insecable"):
        block = quantity if listed["quantity_secability"] == "insecable" else None
        return {"basis": "units", "per_quantity": quantity, "block_quantity": block}
    if time in {("B", "PT1H", "secable"), ("B", "", "")} and listed["quantity_secability"] == "secable":
        basis = _MEASURED_BASIS[listed["time_interval"]]
        return {
            "basis": basis,
            "per_quantity": quantity,
            "per_seconds": _SECONDS_PER_HOUR if basis == "stored" else None,
        }
    message = f"{listed['service']} is priced per {time}, {listed['quantity_secability']}: no counterpart here"
    raise UnknownPriceForm(message)


def _edge(listed: str, price: dict[str, Any]) -> int:
    """Where a tier starts or ends; counted units are numbered from 1.

    Lists up to 2025 write the edge of the free Heptapod users as 100, newer ones as 101. Both mean that the 101st user
    is the first one paid: an edge on a whole block is the last unit of the tier below.
    """
    edge = int(listed)
    block = price.get("block_quantity")
    return edge + 1 if block and block > 1 and edge and edge % block == 0 else edge
