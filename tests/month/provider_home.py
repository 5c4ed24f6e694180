"""A provider's home to bill in tests: raw rows land in it, jobs run on it in this process, published tables come back.

What a row needs but a case does not care about is filled in here, so that a case says only what matters to it.
"""

import json
import os
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path

import dagster as dg
import pypdfium2
from click.testing import CliRunner, Result

from billing_pipeline.cli import main
from billing_pipeline.console import releasing, running
from billing_pipeline.defs.billing import Billing, open_billing
from billing_pipeline.defs.monthly import QUIET
from billing_pipeline.defs.unrecorded import UNRECORDED
from billing_pipeline.rules.period import microseconds, parse_months
from billing_pipeline.sample.landing import Row, arrivals_of, land
from billing_pipeline.settings import REPOSITORY, Settings
from billing_pipeline.warehouse import Generation, code_version

_UP_TO_INVOICES = ("accounts", "usage", "rating", "credits", "invoices")
#: What is made when numbers are given, not before.
ISSUED = (
    "invoices/invoices",
    "invoices/specific_invoices",
    "invoices/credit_notes",
    "invoices/reissued_invoices",
    "invoices/states",
)

_SAID = "said.json"
_RECORDED = """\
telemetry:
  enabled: false
"""

# Loading the definitions takes a second, and nothing in them is a home's own: once for all runs of this process.
running.defs = releasing.defs = cache(running.defs)


@cache
def _open_dagster(folder: Path, keeps_events: bool) -> dg.DagsterInstance:
    """Dagster's storage in a folder that has its settings: opened once, too."""
    del keeps_events
    return dg.DagsterInstance.from_config(str(folder))


LONG_AGO = datetime(2025, 1, 1, tzinfo=UTC)


def at(text: str) -> datetime:
    """An instant in UTC: `2026-01-05` or `2026-01-05T12:30`."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@dataclass
class ProviderHome:
    """One home with its landing folder; Dagster's own storage may be shared by homes.

    The events of a run are forgotten, unless the home keeps them for whoever looks at checks.
    """

    folder: Path
    dagster: Path
    settings: dict[str, str] = field(default_factory=dict)
    keeps_events: bool = False
    _files: int = 0

    def land(self, feed: str, *rows: Row, known_at: datetime = LONG_AGO) -> None:
        """Drop raw rows: taken in at `known_at`, in a file of the same day, unless a row says otherwise."""
        self._files += 1
        common = {"source": "test", "ingested_at": known_at}
        complete = [common | {"event_id": f"{feed}-{self._files}-{number}"} | row for number, row in enumerate(rows)]
        typed = [
            {name: microseconds(value) if isinstance(value, datetime) else value for name, value in row.items()}
            for row in complete
        ]
        land(self.folder / "landing", feed, arrivals_of(feed, typed), name=f"test-{self._files:03d}")

    @contextmanager
    def environment(self) -> Iterator[dict[str, str]]:
        """The process environment of a run on this home; no setting of whoever runs the tests reaches it."""
        before = dict(os.environ)
        for name in [name for name in os.environ if name.startswith("BILLING_")]:
            del os.environ[name]
        # Commands have a storage of their own in the home.
        for folder in (self.dagster, self.folder / "dagster"):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "dagster.yaml").write_text(_RECORDED if self.keeps_events else UNRECORDED)
        os.environ.update(
            BILLING_HOME=str(self.folder), DAGSTER_HOME=str(self.dagster), BILLING_WORKERS="1", **self.settings
        )
        try:
            yield dict(os.environ)
        finally:
            os.environ.clear()
            os.environ.update(before)

    def run(self, job: str, months: str, *, as_of: datetime | None = None, issue_date: date | None = None) -> None:
        """Run a job over `2026-01` or `2026-01..2026-03` in this process."""
        with self.environment():
            running.run_job(job, parse_months(months), as_of=as_of, issue_date=issue_date)

    def close(self, months: str, *, as_of: datetime | None = None) -> None:
        self.run("close_month", months, as_of=as_of)

    def issue(self, months: str, *, as_of: datetime | None = None, issue_date: date | None = None) -> None:
        self.run("issue_month", months, as_of=as_of, issue_date=issue_date)

    def bill(self, months: str, *, as_of: datetime | None = None) -> None:
        self.run("bill_month", months, as_of=as_of)

    def draft(self, months: str, *, as_of: datetime | None = None) -> None:
        """Close months, but make no documents."""
        self._materialise(months, *_UP_TO_INVOICES, leave_out=ISSUED, as_of=as_of)

    def settle(self, month: str) -> None:
        """Draft a closed month again from what was rated."""
        self._materialise(month, "credits", "invoices", leave_out=ISSUED)

    def number(self, month: str, *further: str) -> None:
        """Close and issue a month and make further stages, but no documents."""
        self._materialise(month, *_UP_TO_INVOICES, *further)

    def redo(self, month: str, *stages: str) -> None:
        """Make these stages of a month again from what the others published, numbers last."""
        self._materialise(month, *stages)

    def freeze(self, month: str) -> None:
        """Issue a closed month and write its journal, but make no documents."""
        self._materialise(month, "invoices", "exports", only=(*ISSUED, "exports/journal"))

    def print(self, month: str) -> None:
        """Make the documents of a month."""
        self._materialise(month, "documents", only=["documents/month_documents"])

    def _materialise(
        self,
        months: str,
        *stages: str,
        leave_out: Collection[str] = (),
        only: Collection[str] = (),
        as_of: datetime | None = None,
    ) -> None:
        keys = parse_months(months)
        tags = {"dagster/asset_partition_range_start": str(keys[0]), "dagster/asset_partition_range_end": str(keys[-1])}
        assets = [spec.key for spec in running.defs().resolve_all_asset_specs() if spec.group_name in stages]
        job = running.defs().resolve_implicit_global_asset_job_def()
        chosen = {"as_of": as_of.isoformat()} if as_of else {}
        with self.environment():
            job.execute_in_process(
                asset_selection=[
                    key
                    for key in assets
                    if key.to_user_string() not in leave_out and (not only or key.to_user_string() in only)
                ],
                instance=_open_dagster(self.dagster, self.keeps_events),
                tags=tags,
                run_config={**QUIET, "resources": {"billing": {"config": chosen}}},
            )

    def command(self, *arguments: str) -> Result:
        """What `billing …` prints, and its exit code."""
        with self.environment():
            return CliRunner().invoke(main, list(arguments))

    def keep(self, name: str, *arguments: str) -> Result:
        """Call a command and keep what it said with the home, for whoever reads a copy."""
        result = self.command(*arguments)
        said = self.said | {name: (result.exit_code, result.output)}
        (self.folder / _SAID).write_text(json.dumps(said), encoding="utf-8")
        return result

    @property
    def said(self) -> dict[str, tuple[int, str]]:
        """Exit code and output of the commands that were kept, by name."""
        file = self.folder / _SAID
        kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        return {name: (code, output) for name, (code, output) in kept.items()}

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start Python in a process of its own."""
        with self.environment() as own:
            return subprocess.Popen(
                [sys.executable, *arguments],
                env=own | environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )

    @property
    def billing(self) -> Billing:
        """The home as a reader sees it."""
        with self.environment():
            return open_billing(Settings(), code_version(REPOSITORY))

    def generation(self, table: str, month: str) -> Generation:
        return self.billing.warehouse.require(table, f"month={month}")

    def rows(self, table: str, month: str, **where: object) -> list[dict]:
        """The rows of a published table that have these values."""
        return self.generation(table, month).read().filter(**where).to_dicts()

    def row(self, table: str, month: str, **where: object) -> dict:
        """The one row of a published table that has these values."""
        (row,) = self.rows(table, month, **where)
        return row

    def reasons(self, month: str) -> dict[str, str]:
        """Why payers are parked."""
        return {row["payer_id"]: row["reason"] for row in self.rows("invoices/parked_organisations", month)}

    def published(self) -> dict[tuple[str, str], Generation]:
        """Every current generation of a monthly table, by table and partition."""
        warehouse = self.billing.warehouse
        tables = sorted({f"{path.parts[-3]}/{path.parts[-2]}" for path in warehouse.root.glob("*/*/month=*")})
        return {(table, key): warehouse.require(table, key) for table in tables for key in warehouse.partitions(table)}

    def checksums(self) -> dict[str, str]:
        """The sha256 of every published file of every month, by table, month and name."""
        return {
            f"{table} {key} {name}": entry["sha256"]
            for (table, key), generation in self.published().items()
            for name, entry in generation.manifest["files"].items()
        }

    def printed(self, name: str) -> str:
        """The text of a PDF as its reader sees it; `name` is a number, or `<month>/<payer>` of a draft."""
        folder = self.folder / "documents" / ("drafts" if "/" in name else "INV")
        return text_of(folder / f"{name}.pdf")


def text_of(pdf: Path) -> str:
    """All text of a PDF, pages one after the other."""
    document = pypdfium2.PdfDocument(pdf)
    try:
        return "\n".join(page.get_textpage().get_text_bounded() for page in document)
    finally:
        document.close()


def organisation(owner_id: str, **columns: object) -> Row:
    """A French business that pays for itself."""
    return {
        "owner_id": owner_id,
        "name": owner_id.title(),
        "kind": "business",
        "address_line1": "1 rue des Essais",
        "postcode": "44000",
        "city": "Nantes",
        "country": "FR",
        "currency": "EUR",
        "language": "en",
        "billing_emails": f"billing@{owner_id}.example",
        "opened_on": LONG_AGO.date(),
        "is_trusted": False,
        "valid_from": LONG_AGO,
    } | columns


def hourly(slug: str, unit_price: str, **columns: object) -> Row:
    """A public price in EUR per hour of running."""
    return {
        "price_id": f"list.{slug}",
        "currency": "EUR",
        "valid_from": LONG_AGO,
        "slug": slug,
        "basis": "runtime",
        "per_quantity": 1,
        "per_seconds": 3600,
        "tier_mode": "flat",
        "tier_from": 0,
        "unit_price": unit_price,
    } | columns


def ran(owner_id: str, slug: str, started_at: datetime, stopped_at: datetime | None, **columns: object) -> Row:
    """One run of an instance, reported when it ended (or, while it runs, when it started)."""
    service, flavour = slug.split(".")
    resource_id = f"{owner_id}-{service}"
    return {
        "owner_id": owner_id,
        "resource_id": resource_id,
        "resource_name": f"{service} of {owner_id}",
        "instance_id": f"{resource_id}-{flavour}",
        "service": service,
        "flavour": flavour,
        "zone": "par",
        "started_at": started_at,
        "stopped_at": stopped_at,
        "ingested_at": stopped_at or started_at,
    } | columns


def _sampled(owner_id: str, metric: str, columns: dict[str, object]) -> Row:
    """What every measurement of a metric says of its resource."""
    return {"owner_id": owner_id, "resource_id": f"{owner_id}-{metric}", "metric": metric, "zone": "par"} | columns


def stored(owner_id: str, metric: str, size: int, sampled_at: datetime, **columns: object) -> Row:
    """A size in bytes that was read."""
    own = {"sampled_at": sampled_at, "bytes": size, "ingested_at": sampled_at}
    return _sampled(owner_id, metric, own | columns)


def moved(owner_id: str, metric: str, size: int, started_at: datetime, stopped_at: datetime, **columns: object) -> Row:
    """Bytes that were moved in an interval."""
    own = {"started_at": started_at, "stopped_at": stopped_at, "bytes": size, "ingested_at": stopped_at}
    return _sampled(owner_id, metric, own | columns)


def counted(owner_id: str, metric: str, quantity: int, sampled_at: datetime, **columns: object) -> Row:
    """Users or seats that were counted."""
    own = {"sampled_at": sampled_at, "quantity": str(quantity), "ingested_at": sampled_at}
    return _sampled(owner_id, metric, own | columns)


def one_shot(owner_id: str, description: str, amount: str, performed_at: datetime, **columns: object) -> Row:
    """A service performed once, in EUR."""
    return {
        "owner_id": owner_id,
        "description": description,
        "performed_at": performed_at,
        "quantity": "1",
        "unit_price": amount,
        "currency": "EUR",
        "recurring": False,
        "invoice": "monthly",
        "sells_credits": False,
        "ingested_at": performed_at,
    } | columns


def grant(owner_id: str, grant_id: str, amount: str, **columns: object) -> Row:
    """Free credits in EUR that pay everything and do not expire."""
    return {
        "grant_id": grant_id,
        "owner_id": owner_id,
        "kind": "free",
        "name": grant_id,
        "amount": amount,
        "currency": "EUR",
        "starts_at": LONG_AGO,
        "priority": 0,
    } | columns


def payment(owner_id: str, reference: str, amount: str, received_at: datetime, **columns: object) -> Row:
    """A transfer in EUR that arrived."""
    return {
        "payment_id": f"{owner_id}-{reference}-{received_at:%Y%m%d}",
        "owner_id": owner_id,
        "reference": reference,
        "amount": amount,
        "currency": "EUR",
        "received_at": received_at,
        "method_kind": "transfer",
        "outcome": "succeeded",
        "ingested_at": received_at,
    } | columns
