"""Landing files of two months in which every rule is met at its edge: what no ordinary sample happens to hold.

Rows are written out by hand and say in a comment which edge they stand on; `land` adds them to a landing folder.
"""

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Row = dict[str, Any]

INSTANT = pa.timestamp("us", tz="UTC")
COMMON = {"event_id": pa.string(), "source": pa.string(), "ingested_at": INSTANT, "is_deleted": pa.bool_()}
RESOURCE = {"owner_id": pa.string(), "resource_id": pa.string(), "resource_name": pa.string(), "zone": pa.string()}
TEXT, WHOLE, FLAG, DAY = pa.string(), pa.int64(), pa.bool_(), pa.date32()


def _text(names: str) -> dict[str, pa.DataType]:
    return dict.fromkeys(names.split(), TEXT)


COLUMNS = {
    "organisations": _text(
        "owner_id payer_id name legal_name kind address_line1 address_line2 postcode city country vat_number legal_id"
        " currency language billing_emails purchase_order cost_centre"
    )
    | {"opened_on": DAY, "closed_on": DAY}
    | _text("dunning_plan billing_period")
    | {"payment_terms_days": WHOLE, "is_trusted": FLAG}
    | _text("discount_rate discount_reason price_factor")
    | {"valid_from": INSTANT},
    "price_tiers": _text("price_id owner_id zone currency")
    | {"valid_from": INSTANT, "valid_to": INSTANT}
    | _text("slug basis")
    | dict.fromkeys(("per_quantity", "per_seconds", "block_quantity", "block_seconds"), WHOLE)
    | {"tier_mode": TEXT, "tier_from": WHOLE, "tier_to": WHOLE, "unit_price": TEXT, "tier_price": TEXT}
    | {"granularity_seconds": WHOLE, "minimum_seconds": WHOLE},
    "spend_rules": _text("rule_id name owner_id slug currency")
    | {"valid_from": INSTANT, "valid_to": INSTANT}
    | _text("kind amount rate quantity"),
    "credit_grants": _text("grant_id owner_id kind name amount currency")
    | {"starts_at": INSTANT, "expires_at": INSTANT, "priority": WHOLE, "slugs": TEXT},
    "refill_agreements": _text("owner_id billing_month amount author reason"),
    "payments": _text("payment_id owner_id invoice_number reference amount currency")
    | {"received_at": INSTANT}
    | _text("method_kind outcome failure"),
    "runtime_intervals": RESOURCE
    | _text("instance_id service flavour")
    | {"started_at": INSTANT, "stopped_at": INSTANT},
    "runtime_heartbeats": RESOURCE | _text("instance_id service flavour") | {"sampled_at": INSTANT},
    "unusable_intervals": {"instance_id": TEXT, "started_at": INSTANT, "stopped_at": INSTANT, "reason": TEXT},
    "storage_samples": RESOURCE | {"metric": TEXT, "sampled_at": INSTANT, "bytes": WHOLE},
    "traffic_deltas": RESOURCE | {"metric": TEXT, "started_at": INSTANT, "stopped_at": INSTANT, "bytes": WHOLE},
    "unit_counts": RESOURCE | {"metric": TEXT, "sampled_at": INSTANT, "quantity": TEXT},
    "vendor_charges": _text("owner_id resource_id resource_name vendor description")
    | {"charged_at": INSTANT}
    | _text("amount currency"),
    "one_shots": _text("owner_id description sub_description")
    | {"performed_at": INSTANT}
    | _text("quantity unit_price currency")
    | {"recurring": FLAG, "discount_rate": TEXT, "invoice": TEXT, "sells_credits": FLAG},
}
HAPPENS = ("stopped_at", "sampled_at", "performed_at", "started_at")

GB = 10**9


def at(text: str) -> datetime:
    """`08-03T10:00` of 2026, in UTC."""
    return datetime.fromisoformat(f"2026-{text}").replace(tzinfo=UTC)


BEFORE = at("07-31T12:00")
LONG_AGO = at("01-01T00:00")


class Rows:
    """Rows by feed; an `ingested_at` that is not given is five minutes after what the row tells."""

    def __init__(self) -> None:
        self.of_feed: dict[str, list[Row]] = defaultdict(list)
        self.numbers: Iterator[int] = count(1)

    def add(self, feed: str, *, ingested: str | datetime | None = None, **told: Any) -> Row:
        row = dict.fromkeys(COMMON | COLUMNS[feed]) | {"source": "edges", "is_deleted": False} | told
        row["event_id"] = told.get("event_id") or f"edge-{next(self.numbers):05}"
        row |= {
            name: at(value)
            for name, value in row.items()
            if isinstance(value, str) and (COMMON | COLUMNS[feed])[name] == INSTANT
        }
        if isinstance(ingested, str):
            ingested = at(ingested)
        happened = next((row[name] for name in HAPPENS if row.get(name)), None)
        row["ingested_at"] = ingested or (happened + timedelta(minutes=5) if happened else BEFORE)
        self.of_feed[feed].append(row)
        return row

    def again(self, feed: str, row: Row, ingested: str, **changed: Any) -> Row:
        """The same natural key told once more, under another event id unless one is given."""
        told = {name: value for name, value in row.items() if name not in ("event_id", "ingested_at")} | changed
        return self.add(feed, ingested=ingested, **told)

    def run(
        self, owner: str, resource: str, instance: str, slug: str, start: str, stop: str | None, **more: Any
    ) -> Row:
        service, flavour = slug.split(".")
        told = {"zone": "par", "ingested": start if stop is None else None} | more
        return self.add(
            "runtime_intervals",
            owner_id=owner,
            # Of one organisation alone: nobody can be billed for what two run at once.
            resource_id=f"{owner}.{resource}",
            instance_id=instance,
            service=service,
            flavour=flavour,
            started_at=start,
            stopped_at=stop,
            **told,
        )

    def sample(self, owner: str, resource: str, metric: str, when: str, size: int, **more: Any) -> Row:
        told = {"zone": "par"} | more
        return self.add(
            "storage_samples",
            owner_id=owner,
            resource_id=resource,
            metric=metric,
            sampled_at=when,
            bytes=size,
            **told,
        )

    def traffic(self, owner: str, resource: str, metric: str, start: str, stop: str, size: int, **more: Any) -> Row:
        told = {"zone": "par"} | more
        return self.add(
            "traffic_deltas",
            owner_id=owner,
            resource_id=resource,
            metric=metric,
            started_at=start,
            stopped_at=stop,
            bytes=size,
            **told,
        )

    def seats(self, owner: str, resource: str, metric: str, when: str, quantity: str, **more: Any) -> Row:
        told = {"zone": "par"} | more
        return self.add(
            "unit_counts",
            owner_id=owner,
            resource_id=resource,
            metric=metric,
            sampled_at=when,
            quantity=quantity,
            **told,
        )

    def price(self, price_id: str, slug: str, basis: str, unit_price: str, **more: Any) -> Row:
        told = {
            "currency": "EUR",
            "valid_from": LONG_AGO,
            "per_quantity": 1 if basis in ("runtime", "units") else GB,
            "per_seconds": 3600 if basis in ("runtime", "stored") else None,
            "tier_mode": "flat",
            "tier_from": 0,
        } | more
        return self.add("price_tiers", price_id=price_id, slug=slug, basis=basis, unit_price=unit_price, **told)

    def organisation(self, owner: str, **more: Any) -> Row:
        told = {
            "name": owner,
            "kind": "business",
            "address_line1": "1 rue des Bords",
            "postcode": "44000",
            "city": "Nantes",
            "country": "FR",
            "currency": "EUR",
            "language": "en",
            "billing_emails": f"{owner}@edges.example",
            "opened_on": date(2025, 1, 1),
            "billing_period": "month",
            "is_trusted": False,
            "valid_from": LONG_AGO,
        } | more
        return self.add("organisations", owner_id=owner, **told)

    def grant(self, grant_id: str, owner: str, amount: str, **more: Any) -> Row:
        told = {"kind": "free", "currency": "EUR", "starts_at": LONG_AGO, "priority": 0, "name": grant_id} | more
        return self.add("credit_grants", grant_id=grant_id, owner_id=owner, amount=amount, **told)

    def payment(self, payment_id: str, owner: str, month: str, amount: str, received: str, **more: Any) -> Row:
        told = {"outcome": "succeeded", "method_kind": "transfer", "currency": "EUR"} | more
        return self.add(
            "payments",
            ingested=received,
            payment_id=payment_id,
            owner_id=owner,
            reference=f"{owner}/{month}",
            amount=amount,
            received_at=received,
            **told,
        )


def land(landing: Path, rows: Rows) -> None:
    """Write every row into the folder of the day on which it was ingested."""
    for feed, told in rows.of_feed.items():
        days: dict[date, list[Row]] = defaultdict(list)
        for row in told:
            days[row["ingested_at"].date()].append(row)
        for day, arrived in days.items():
            folder = landing / feed / f"arrival_date={day}"
            folder.mkdir(parents=True, exist_ok=True)
            pq.write_table(
                pa.Table.from_pylist(arrived, schema=pa.schema(COMMON | COLUMNS[feed])), folder / "edges.parquet"
            )


def _organisations(rows: Rows) -> None:
    rows.organisation("edge_fr", price_factor="0.85", discount_rate="0.07", discount_reason="volume")
    # a sub-organisation that changes its payer in the middle of a run
    rows.organisation("edge_sub", payer_id="edge_fr")
    rows.organisation("edge_sub", payer_id="edge_us", price_factor="1.1", valid_from="08-20T12:00:00.000001")
    rows.organisation("edge_us", country="US", postcode="97204", city="Portland")
    for owner in ("edge_conflict", "edge_overlap", "edge_missing", "edge_cents", "edge_runs", "edge_late"):
        rows.organisation(owner)
    for owner in ("edge_lots", "edge_paid", "edge_idle"):
        rows.organisation(owner)


def _prices(rows: Rows) -> None:
    change = at("08-10T03:04:05.678901")
    rows.price("z.any", "edge.zoned", "runtime", "0.1")
    rows.price("z.par", "edge.zoned", "runtime", "0.2", zone="par")
    rows.price("z.own", "edge.zoned", "runtime", "0.05", owner_id="edge_fr")  # owner before zone
    rows.price("v.1", "edge.versioned", "runtime", "0.12345678901234567891", valid_to=change)
    rows.price("v.2", "edge.versioned", "runtime", "0.33333333333333333333", valid_from=change)
    rows.price("plain", "edge.plain", "runtime", "0.5")
    rows.price("cent", "edge.cent", "runtime", "0.001")
    rows.price("blocks", "edge.blocks", "runtime", "0.7", block_seconds=3600)
    for tier in ({"tier_from": 0, "tier_to": 100_000}, {"tier_from": 100_000, "tier_price": "1.25"}):
        rows.price("tiered", "edge.tiered", "runtime", "0.4", tier_mode="graduated", **tier)
    rows.price("over.1", "edge.overlap", "runtime", "1")
    rows.price("over.2", "edge.overlap", "runtime", "2", valid_from="08-31T23:59:59.999999")
    rows.price("granules", "edge.granules", "runtime", "0.6", granularity_seconds=600)
    rows.price("minimum", "edge.minimum", "runtime", "0.9", granularity_seconds=10, minimum_seconds=60)
    for low, high, price in ((0, GB, "0"), (GB, 5 * GB, "0.5"), (5 * GB, None, "0.3")):
        more = {"tier_mode": "graduated", "tier_from": low, "tier_to": high, "valid_to": at("08-15T00:00")}
        rows.price("store.1", "edge.store", "stored", price, **more)
    for low, high, price in ((0, GB, "0.01"), (GB, None, "0.007")):
        more = {"tier_mode": "slab", "tier_from": low, "tier_to": high, "valid_from": at("08-15T00:00")}
        rows.price("store.2", "edge.store", "stored", price, **more)
    rows.price("crates", "edge.crates", "stored", "0.02", block_quantity=GB)
    for version, ends in (("flow.1", {"valid_to": at("08-16T00:00")}), ("flow.2", {"valid_from": at("08-16T00:00")})):
        for low, high, price in ((0, 10 * GB, "0.9"), (10 * GB, None, "0.7")):
            more = {"tier_mode": "slab", "tier_from": low, "tier_to": high, "block_quantity": GB} | ends
            rows.price(version, "edge.flow", "moved", price, **more)
    for low, high, price in ((0, 512_000_000, "0"), (512_000_000, 100 * GB, "0.8"), (100 * GB, None, "0.5")):
        rows.price("pulse", "edge.pulse", "moved", price, tier_mode="graduated", tier_from=low, tier_to=high)
    rows.price("pack", "edge.pack", "moved", "0", tier_mode="package", tier_price="2.50", block_quantity=10 * GB)
    for low, high, price, once in ((0, 11, "0", None), (11, 51, "3", None), (51, None, "2", "5")):
        more = {"tier_mode": "graduated", "tier_from": low, "tier_to": high, "tier_price": once}
        rows.price("seats", "edge.seats", "units", price, per_quantity=10, block_quantity=10, **more)


def _runs(rows: Rows) -> None:
    # overlapping, touching and nested runs of one instance are one run; another instance adds up
    rows.run("edge_runs", "app_1", "i_1", "edge.plain", "08-02T00:00:00.000001", "08-02T10:00:00.7")
    rows.run("edge_runs", "app_1", "i_1", "edge.plain", "08-02T09:00", "08-02T11:00:00.2")
    rows.run("edge_runs", "app_1", "i_1", "edge.plain", "08-02T09:30", "08-02T09:31")
    rows.run("edge_runs", "app_1", "i_1", "edge.plain", "08-02T11:00:00.2", "08-02T12:00:00.333333")
    rows.run("edge_runs", "app_1", "i_2", "edge.plain", "08-02T11:00", "08-02T12:00:00.666667")
    rows.run("edge_runs", "app_1", "i_2", "edge.plain", "08-03T11:00", "08-03T11:00")  # empty
    # another flavour from the very instant on: two lines
    rows.run("edge_runs", "app_2", "i_3", "edge.plain", "08-04T00:00", "08-05T06:00:00.5")
    rows.run("edge_runs", "app_2", "i_3", "edge.zoned", "08-05T06:00:00.5", "08-06T00:00")
    # a run over both months that never ends, and one that began long before
    rows.run("edge_runs", "app_4", "i_5", "edge.versioned", "08-09T00:00", None)
    rows.run("edge_runs", "app_4", "i_6", "edge.versioned", "07-01T00:00", None, ingested="07-31T08:00")
    rows.run("edge_sub", "app_5", "i_7", "edge.versioned", "08-19T00:00", "08-22T00:00")
    rows.run("edge_fr", "app_6", "i_8", "edge.zoned", "08-01T00:00", "09-01T00:00")
    rows.run("edge_us", "app_7", "i_9", "edge.zoned", "08-01T00:00", "08-11T00:00")
    rows.run("edge_us", "app_7", "i_10", "edge.zoned", "08-01T00:00", "08-11T00:00", zone="rbx")
    # whole blocks, and the tier's edge met exactly and passed by one second
    rows.run("edge_runs", "app_8", "i_11", "edge.blocks", "08-01T00:00", "08-01T01:00:00.999999")
    rows.run("edge_runs", "app_9", "i_12", "edge.blocks", "08-01T00:00", "08-01T01:00:01")
    rows.run("edge_runs", "app_10", "i_13", "edge.tiered", "08-01T00:00", "08-02T03:46:40")
    rows.run("edge_runs", "app_11", "i_14", "edge.tiered", "08-01T00:00", "08-02T03:46:41")
    # below the cent: 0.003, 0.003, 0.004 and 0.0149 are one group and a line of its own
    for number, minutes in enumerate((180, 180, 240, 894)):
        stop = at("08-07T00:00") + timedelta(minutes=minutes)
        rows.run("edge_cents", f"app_c{number}", f"i_c{number}", "edge.cent", "08-07T00:00", stop)
    for number in range(7):
        rows.run("edge_cents", f"app_d{number}", f"i_d{number}", "edge.cent", "09-07T00:00", "09-07T02:00")
    # nobody can price these
    rows.run("edge_overlap", "app_12", "i_15", "edge.overlap", "08-01T00:00", "09-01T00:00")
    rows.run("edge_missing", "app_13", "i_16", "edge.unheard_of", "08-05T00:00", "08-05T00:00:01")
    rows.run("edge_late", "app_0", "i_0", "edge.plain", "08-01T00:00", "08-01T10:00")


def _granules(rows: Rows) -> None:
    owner = "edge_granules"
    rows.organisation(owner)
    rows.run(owner, "app_20", "i_20", "edge.granules", "08-01T00:05", "08-01T00:25:00.000001")  # three granules
    rows.run(owner, "app_20", "i_21", "edge.granules", "08-31T23:55", "09-01T00:05")  # all of it in August
    rows.run(owner, "app_20", "i_22", "edge.granules", "08-31T23:55", "09-01T00:05:01")  # the second in September
    rows.run(owner, "app_21", "i_23", "edge.minimum", "08-01T00:00", "08-01T00:00:01")
    rows.run(owner, "app_22", "i_24", "edge.minimum", "08-01T00:00", "08-01T00:01:00.000001")
    rows.run(owner, "app_23", "i_25", "edge.minimum", "08-31T23:59:55", "09-01T00:00:06")  # top-up in September


def _unusable(rows: Rows) -> None:
    # overlapping itself, reaching over the end of the month
    rows.organisation("edge_unusable")
    rows.run("edge_unusable", "app_3", "i_4", "edge.plain", "08-30T00:00", "09-02T00:00")
    for start, stop in (
        ("08-30T05:00", "08-30T06:00"),
        ("08-30T05:30", "08-30T07:00:00.000001"),
        ("08-31T22:00", "09-01T03:00"),
    ):
        rows.add("unusable_intervals", instance_id="i_4", started_at=start, stopped_at=stop, reason="disk")


def _spread(rows: Rows) -> None:
    # 10.00 of edge.plain, 2.00 of edge.zoned; the credit for everything goes first and leaves edge.zoned to its own
    for number in range(4):
        owner = f"edge_spread_{number}"
        rows.organisation(owner)
        rows.run(owner, f"app_s{number}", f"i_s{number}", "edge.plain", "08-03T00:00", "08-03T20:00")
        rows.run(owner, f"app_t{number}", f"i_t{number}", "edge.zoned", "08-03T00:00", "08-03T10:00")
        rows.grant(f"{owner}_all", owner, "6.00")
        rows.grant(f"{owner}_zoned", owner, "5.00", priority=1, slugs="edge.zoned")


def _volumes(rows: Rows) -> None:
    disk = "edge_runs", "disk_1", "edge.store"
    rows.sample(*disk, "07-30T00:00", GB // 2, ingested="07-31T08:00")  # held into the month
    rows.sample(*disk, "08-03T00:00:00.000001", GB)  # exactly on an edge
    rows.sample(*disk, "08-05T00:00", 7 * GB + 1)  # over the change of price and of its mode
    rows.sample(*disk, "08-20T00:00", 0)  # ends it
    rows.sample(*disk, "08-25T00:00", GB - 1)
    rows.sample(*disk, "08-26T00:00", GB)  # held into September
    # told late: the last size of August, which September starts from and August was not told
    rows.sample(*disk, "08-31T12:00", 3 * GB, ingested="09-05T00:00")
    rows.sample("edge_runs", "disk_2", "edge.crates", "08-10T00:00", 2 * GB + 1)
    rows.sample("edge_runs", "disk_2", "edge.crates", "08-11T00:00", 2 * GB)
    rows.sample("edge_runs", "disk_2", "edge.crates", "08-12T00:00:00.5", 0)
    pipe = "edge_runs", "pipe_1", "edge.flow"
    rows.traffic(*pipe, "08-15T00:00", "08-16T00:00", 4 * GB + 1)  # its last instant has the old price
    rows.traffic(*pipe, "08-15T12:00", "08-16T00:00:00.000001", 10 * GB)  # the new one, exactly on the edge
    rows.traffic(*pipe, "08-31T00:00", "09-01T00:00", GB // 4, ingested="09-01T00:10")  # August
    rows.traffic(*pipe, "08-31T00:00:01", "09-01T00:00:00.000001", 10 * GB - 1, ingested="09-01T00:10")  # September
    rows.traffic(*pipe, "07-31T00:00", "08-01T00:00", 77 * GB)  # July: nobody's
    for number, size in enumerate((512_000_000, 512_000_001, 100 * GB, 100 * GB + 1)):
        rows.traffic("edge_us", f"pipe_p{number}", "edge.pulse", "08-02T00:00", "08-03T00:00", size)
    rows.traffic("edge_us", "pipe_q1", "edge.pack", "08-02T00:00", "08-03T00:00", 20 * GB)
    rows.traffic("edge_us", "pipe_q2", "edge.pack", "08-02T00:00", "08-03T00:00", 20 * GB + 1)


def _counts(rows: Rows) -> None:
    for number, quantity in enumerate(("10", "11", "50", "51", "61", "0")):
        rows.seats("edge_us", f"seats_{number}", "edge.seats", "08-01T00:00", quantity)
        rows.seats("edge_us", f"seats_{number}", "edge.seats", "08-20T00:00", "0")
    # the largest is reached twice: before and after the owner has another payer
    rows.seats("edge_sub", "seats_s", "edge.seats", "08-10T00:00", "33")
    rows.seats("edge_sub", "seats_s", "edge.seats", "08-25T00:00", "33")
    rows.seats("edge_sub", "seats_s", "edge.seats", "08-31T23:59:59.999999", "20")


def _corrections(rows: Rows) -> None:
    late = "edge_late"
    # closed late: August was billed to its end, September owes nothing
    row = rows.run(late, "app_1", "i_l1", "edge.plain", "08-29T00:00", None)
    rows.again("runtime_intervals", row, "09-10T00:00", stopped_at=at("08-30T00:00"))
    # closed late inside September: only September's part is still open
    row = rows.run(late, "app_2", "i_l2", "edge.plain", "08-29T00:00", None)
    rows.again("runtime_intervals", row, "09-10T00:00", stopped_at=at("09-02T00:00"))
    # withdrawn after August closed; withdrawn and told again; corrected twice, the older correction arriving last
    row = rows.run(late, "app_3", "i_l3", "edge.plain", "08-31T00:00", "09-03T00:00", ingested="09-01T00:00")
    rows.again("runtime_intervals", row, "09-12T00:00", is_deleted=True)
    row = rows.run(late, "app_4", "i_l4", "edge.plain", "08-03T00:00", "08-04T00:00")
    rows.again("runtime_intervals", row, "08-05T00:00", is_deleted=True)
    rows.again("runtime_intervals", row, "08-06T00:00", stopped_at=at("08-03T12:00"))
    row = rows.run(late, "app_5", "i_l5", "edge.plain", "08-03T00:00", "08-04T00:00", ingested="08-04T01:00")
    rows.again("runtime_intervals", row, "08-06T00:00", stopped_at=at("08-03T07:00"))
    rows.again("runtime_intervals", row, "08-05T00:00", stopped_at=at("08-03T09:00"))
    # the same event told again with another instance: the first key is gone
    row = rows.run(late, "app_6", "i_l6", "edge.plain", "08-03T00:00", "08-04T00:00")
    rows.again("runtime_intervals", row, "08-05T00:00", event_id=row["event_id"], instance_id="i_l6b")
    # the same event moved from August to September, after August closed: billed in both, as August is closed
    row = rows.run(late, "app_7", "i_l7", "edge.plain", "08-31T20:00", "08-31T22:00")
    moved = {"started_at": at("09-01T20:00"), "stopped_at": at("09-01T23:00")}
    rows.again("runtime_intervals", row, "09-06T00:00", event_id=row["event_id"], **moved)
    # another owner's after a correction
    row = rows.run(late, "app_8", "i_l8", "edge.plain", "08-03T00:00", "08-04T00:00")
    rows.again("runtime_intervals", row, "08-05T00:00", owner_id="edge_idle")
    # August's usage that nobody was told of in time
    rows.run(late, "app_9", "i_l9", "edge.plain", "08-03T00:00", "08-04T00:00", ingested="09-20T00:00")
    # on the last day that August sees, and one day later
    rows.run(late, "app_10", "i_l10", "edge.plain", "08-03T00:00", "08-04T00:00", ingested="09-02T23:59:59.999999")
    rows.run(late, "app_11", "i_l11", "edge.plain", "08-03T00:00", "08-04T00:00", ingested="09-03T00:00")
    # traffic and seats, corrected and withdrawn
    row = rows.traffic(late, "pipe_l", "edge.pulse", "08-02T00:00", "08-03T00:00", 50 * GB)
    rows.again("traffic_deltas", row, "08-04T00:00", bytes=40 * GB)
    row = rows.traffic(late, "pipe_l", "edge.pulse", "08-04T00:00", "08-05T00:00", 50 * GB)
    rows.again("traffic_deltas", row, "08-06T00:00", is_deleted=True)
    row = rows.seats(late, "seats_l", "edge.seats", "08-02T00:00", "500")
    rows.again("unit_counts", row, "08-03T00:00", quantity="12")
    # a row that is refused corrects nothing
    row = rows.run(late, "app_12", "i_l12", "edge.plain", "08-03T00:00", "08-04T00:00")
    rows.again("runtime_intervals", row, "08-05T00:00", stopped_at=at("08-02T00:00"))
    # nobody can know which
    row = rows.run("edge_conflict", "app_1", "i_k1", "edge.plain", "08-03T00:00", "08-04T00:00")
    for hour in (1, 2):
        rows.again("runtime_intervals", row, "08-05T00:00", stopped_at=at(f"08-03T0{hour}:00"))


def _pieces(rows: Rows) -> None:
    def shot(owner: str, when: str, quantity: str, price: str, **more: Any) -> None:
        told = {"recurring": False, "invoice": "monthly", "sells_credits": False} | more
        rows.add(
            "one_shots",
            owner_id=owner,
            description="work",
            performed_at=when,
            quantity=quantity,
            unit_price=price,
            currency="EUR",
            **told,
        )

    shot("edge_us", "08-01T00:00", "0.5", "0.01")  # half a cent
    shot("edge_us", "08-31T23:59:59.999999", "3", "33.335")
    shot("edge_us", "09-01T00:00", "1", "7", ingested="09-01T00:05")
    shot("edge_fr", "08-05T00:00", "1.25", "120.10", discount_rate="0.15", recurring=True)
    shot("edge_sub", "08-20T12:00", "1", "10")  # one microsecond before it has another payer
    shot("edge_sub", "08-20T12:00:00.000001", "1", "10")


def _credits(rows: Rows) -> None:
    one_us = timedelta(microseconds=1)
    start, end = at("08-01T00:00"), at("09-01T00:00")
    # edge_lots owes 50.00 of edge.plain and 26.04 of edge.zoned in August
    rows.run("edge_lots", "app_1", "i_c1", "edge.plain", "08-01T00:00", "08-05T04:00")
    rows.run("edge_lots", "app_2", "i_c2", "edge.zoned", "08-01T00:00", "08-06T10:12")
    rows.run("edge_lots", "app_1", "i_c1", "edge.plain", "09-01T00:00", "09-02T00:00")
    rows.grant("ended", "edge_lots", "1.00", expires_at=start)  # pays nothing
    rows.grant("ending", "edge_lots", "1.01", expires_at=start + one_us)  # pays for the whole month
    rows.grant("last_us", "edge_lots", "100.00", expires_at=end, slugs="edge.zoned", priority=9)  # the rest expires
    rows.grant("carried", "edge_lots", "30.00", expires_at=end + one_us, slugs="EDGE.PLAIN", priority=1)
    rows.grant("next", "edge_lots", "5.00", starts_at=end)  # September's
    rows.grant("same_a", "edge_lots", "2.00", priority=1, slugs="edge.plain;edge.zoned")
    rows.grant("late", "edge_lots", "4.00", ingested="09-10T00:00", starts_at=at("08-15T00:00"))
    rows.grant("opening", "edge_lots", "6.00", kind="prepaid")
    # edge_paid: two payments settle together, one cent less would not
    for month in ("08", "09"):
        rows.run("edge_paid", "app_1", f"i_p{month}", "edge.plain", f"{month}-01T00:00", f"{month}-02T00:00")
    # 12.00 used and 12.00 provided, with VAT 28.80
    rows.payment("p1", "edge_paid", "2026-08", "20.00", "09-10T00:00")
    rows.payment("p2", "edge_paid", "2026-08", "10.00", "09-11T00:00")
    rows.payment("p3", "edge_paid", "2026-08", "1.20", "09-12T00:00", outcome="refunded")
    rows.payment("p4", "edge_fr", "2026-08", "100000.00", "09-12T00:00", outcome="failed", failure="AM04")
    rows.payment("p5", "edge_us", "2026-08", "100000.00", "10-03T00:00")  # too late to be seen
    rows.payment("p6", "edge_runs", "2026-08", "100000.00", "09-30T00:00")


def edge_rows() -> Rows:
    """Two months of every edge."""
    rows = Rows()
    for tell in (
        _organisations,
        _prices,
        _runs,
        _granules,
        _unusable,
        _volumes,
        _counts,
        _corrections,
        _pieces,
        _credits,
        _spread,
    ):
        tell(rows)
    return rows
