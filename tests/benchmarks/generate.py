"""Writes one month of runtime intervals of any size as landing files, with the organisations and prices to bill it.

    python tests/benchmarks/generate.py --rows 10000000 --out DIR

The same arguments give the same rows: every draw is whole-number arithmetic on the row's number, so nothing depends on
threads or on a version's hash function. Of the rows, in the order in which a meter would send them:

- each instance has four runs; one run in a thousand is so long that it overlaps the one before;
- most last minutes or hours, some days; the first ones began before the month, one in a hundred of the last quarter is
  still running;
- one in a hundred is sent once more, in a later day's second file.
"""

import argparse
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from time import perf_counter
from zoneinfo import ZoneInfo

import duckdb

# Run as a script: the package lies two folders up.
sys.path.insert(0, str(Path(__file__).parents[2]))

from billing_pipeline.rules.period import Month, Period, microseconds
from billing_pipeline.sample.landing import FEEDS, Row, arrivals_of, land
from billing_pipeline.sample.organisations import invent_businesses

ORGANISATIONS = 10_000
RESOURCES = 100_000
RUNS_PER_INSTANCE = 4
SERVICES = ("apps", "postgresql", "mysql", "redis", "gpu")
FLAVOURS = tuple(f"f{number:02d}" for number in range(10))

_DAY_US = 86_400_000_000

#: `mix` spreads a whole number over 32 bits; no product exceeds 64 bits for numbers below 4 × 10^9.
_MACROS = """
create macro stir(x) as (x::ubigint * 2654435761) % 4294967296;
create macro fold(a) as (xor(a, a >> 15) * 2246822519) % 4294967296;
create macro last(b) as xor(b, b >> 13);
create macro mix(x, salt) as last(fold(stir(x::ubigint + salt)));
create macro owner_id(n) as format('orga_{:08x}-0000-4000-8000-{:012x}', mix(n, 11), n);
create macro instant(us) as make_timestamp(us::bigint)::timestamptz;
"""

#: Rows by number from `first` up to `beyond`; a row is sent when its run ends, or starts if it still runs.
_ROWS = """
with numbered as (
    select
        i,
        $start_us + (i::hugeint * ($end_us - $start_us) // $rows)::bigint as sent_us,
        i % ($rows // {runs_per_instance}) as instance,
        mix(i, 1) % 1000 as kind,
        mix(i, 2)::bigint * 1000 + mix(i, 3) % 1000 as draw
    from range($first::bigint, $beyond::bigint) as numbers(i)
),
drawn as (
    select
        *,
        mix(instance, 4) % {resources} as resource,
        i >= $rows - $rows // {runs_per_instance} and mix(i, 5) % 100 = 0 as still_runs,
        case
            when kind = 0 then 8 * {day_us} + draw % (4 * {day_us})
            when kind < 600 then 60000000 + draw % 3600000000
            when kind < 950 then 3600000000 + draw % {day_us}
            else {day_us} + draw % (6 * {day_us})
        end as lasted_us
    from numbered
)
select
    format('e{{:012d}}', i) as event_id,
    'orchestrator' as source,
    instant(sent_us + 30000000) as ingested_at,
    false as is_deleted,
    owner_id(resource % {organisations}) as owner_id,
    format('app_{{:08x}}{{:08x}}', mix(resource, 6), resource) as resource_id,
    format('app-{{:d}}', resource) as resource_name,
    format('{{:08x}}{{:08x}}', mix(instance, 7), instance) as instance_id,
    {services}[1 + (mix(resource, 8) % {service_count})::int] as service,
    {flavours}[1 + (mix(resource, 9) % {flavour_count})::int] as flavour,
    ['par', 'rbx', 'mtl'][1 + (mix(resource, 10) % 3)::int] as zone,
    instant(if(still_runs, sent_us, sent_us - lasted_us)) as started_at,
    if(still_runs, null, instant(sent_us)) as stopped_at
from drawn
where $copies = 0 or mix(i, 12) % 100 = 0
order by i
"""


def generate(rows: int, out: Path, month: Month) -> int:
    """Write the month's landing files under `out`.

    Returns:
        The number of raw rows, copies included.
    """
    period = month.period(ZoneInfo("UTC"))
    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'; set memory_limit = '1500MB'; set preserve_insertion_order = true")
    connection.execute(_MACROS)
    written = _land_runs(connection, rows, out, period)
    _land_accounts(connection, out, period)
    return written


def _land_runs(connection: duckdb.DuckDBPyConnection, rows: int, out: Path, period: Period) -> int:
    """One file per day of what was sent on it, and one of what is sent again from the day before."""
    query = _ROWS.format(
        runs_per_instance=RUNS_PER_INSTANCE,
        resources=RESOURCES,
        organisations=ORGANISATIONS,
        day_us=_DAY_US,
        services=list(SERVICES),
        service_count=len(SERVICES),
        flavours=list(FLAVOURS),
        flavour_count=len(FLAVOURS),
    )
    # The last runs of the month are taken in half a minute later, on the next one's first day.
    days = (period.end_us - period.start_us) // _DAY_US + 1
    # Row i is taken in 30 s after start + i × month ÷ rows: those of a day are neighbours.
    taken_in_from = [
        -(-max(0, day * _DAY_US - 30_000_000) * rows // (period.end_us - period.start_us)) for day in range(days)
    ]
    edges = [*taken_in_from, rows]
    written = 0
    for day in range(days):
        for copies, name in ((0, "orchestrator"), (1, "orchestrator-again")):
            folder = out / "runtime_intervals" / f"arrival_date={period.start.date() + timedelta(days=day + copies)}"
            folder.mkdir(parents=True, exist_ok=True)
            window = {"first": edges[day], "beyond": edges[day + 1], "copies": copies, "rows": rows}
            window |= {"start_us": period.start_us, "end_us": period.end_us}
            copied = connection.execute(
                f"copy ({query}) to '{folder / name}.parquet' (format parquet, compression zstd)", window
            ).fetchone()
            written += copied[0] if copied else 0
    return written


def _land_accounts(connection: duckdb.DuckDBPyConnection, out: Path, period: Period) -> None:
    """Organisations under the ids of the runs, and a price per slug; applications get dearer on the 16th."""
    known_at = microseconds(period.start - timedelta(hours=12))
    ids = connection.execute("select owner_id(n) from range($count) as owners(n) order by n", {"count": ORGANISATIONS})
    businesses = invent_businesses(ORGANISATIONS, period.start.date() - timedelta(days=90), Random(1))
    organisations = [row | {"owner_id": owner_id} for row, (owner_id,) in zip(businesses, ids.fetchall(), strict=True)]
    changed_at = microseconds(datetime(period.month.year, period.month.number, 16, tzinfo=UTC))
    prices: list[Row] = []
    for service in SERVICES:
        for number, flavour in enumerate(FLAVOURS):
            price = {"slug": f"{service}.{flavour}", "basis": "runtime", "per_quantity": 1, "per_seconds": 3600}
            price |= {"currency": "EUR", "tier_mode": "flat", "tier_from": 0, "valid_from": known_at - 90 * _DAY_US}
            per_hour = Decimal("0.00694444444444444") * (number + 1)
            changes = service == "apps"
            prices.append(
                price
                | {"price_id": f"{service}.{flavour}.old", "unit_price": str(per_hour)}
                | {"valid_to": changed_at if changes else None}
            )
            if changes:
                new_price = {"price_id": f"{service}.{flavour}.new", "unit_price": str(per_hour * Decimal("1.1"))}
                prices.append(price | new_price | {"valid_from": changed_at})
    for feed, rows in (("organisations", organisations), ("price_tiers", prices)):
        known = [
            row | {"source": "back-office", "event_id": f"{feed}-{number:06d}", "ingested_at": known_at}
            for number, row in enumerate(rows)
        ]
        land(out, feed, arrivals_of(feed, known), name="back-office")


def main() -> None:
    """Generate, and say what was written and how fast."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000, help="runs; one in a hundred is sent twice")
    parser.add_argument("--out", type=Path, required=True, help="landing folder to write")
    parser.add_argument("--month", type=Month.parse, default=Month(2026, 10))
    asked = parser.parse_args()
    began = perf_counter()
    written = generate(asked.rows, asked.out, asked.month)
    sys.stdout.write(
        f"{written:,} rows of runtime_intervals ({len(FEEDS['runtime_intervals'])} columns), "
        f"{ORGANISATIONS:,} organisations in {asked.out}: {perf_counter() - began:.1f} s\n"
    )


if __name__ == "__main__":
    main()
