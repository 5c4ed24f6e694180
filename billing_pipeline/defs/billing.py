"""What a run works with: the home's storage, the settings, and the instants that select what the run sees."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path

from billing_pipeline.adapters.landing import Landing
from billing_pipeline.books import Books
from billing_pipeline.intake.engine import EngineLimits
from billing_pipeline.intake.gathering import Window
from billing_pipeline.rules.period import Month, Period
from billing_pipeline.settings import Settings
from billing_pipeline.warehouse import Generation, Warehouse


class MonthOutOfOrder(RuntimeError):
    """Months form a chain: each settles on the one before, and none precedes the first one of this home."""


@dataclass(frozen=True)
class Billing:
    """One run's view of one home. Months are passed by value; nothing here reads the clock."""

    settings: Settings
    warehouse: Warehouse
    landing: Landing
    books: Books
    #: Selects what the run sees; None: each month's end and the days of grace.
    chosen_as_of: datetime | None = None
    #: Date on the invoices; None: the date of `as_of`.
    chosen_issue_date: date | None = None
    #: Needed sources that the run goes on without.
    without_sources: frozenset[str] = frozenset()
    #: The first day of its month that the run does not look at; None: it looks at whole months.
    chosen_end: date | None = None

    @property
    def limits(self) -> EngineLimits:
        """What intake may take of the machine."""
        return EngineLimits(self.settings.workers, self.settings.memory_mb)

    def period(self, month: Month) -> Period:
        """The instants of a month in the billing time zone, or of the part of it that the run looks at."""
        whole = month.period(self.settings.zone)
        return whole.until(self.chosen_end) if self.chosen_end else whole

    def as_of(self, month: Month) -> datetime:
        """The instant up to which the run sees arrivals, reference rows and book entries."""
        return self.chosen_as_of or self.period(month).end + self.settings.grace

    def issue_date(self, month: Month) -> date:
        """The date printed on the month's invoices."""
        return self.chosen_issue_date or self.as_of(month).astimezone(self.settings.zone).date()

    def predecessor(self, table: str, month: Month) -> Generation | None:
        """The month before's generation of a table, None for the first month of this home.

        Raises:
            MonthOutOfOrder: the month precedes the first one, or the one before was never closed, or was closed with
                a later `as_of`.
        """
        first = self.books.record_first_month(month)
        if month < first:
            message = f"{month} lies before {first}, the first month billed in this home; bill it in a home of its own"
            raise MonthOutOfOrder(message)
        if month == first:
            return None
        before = self.warehouse.current(table, partition(month.previous))
        if before is None:
            message = (
                f"{month} settles on {month.previous}, which was never closed ({table} is not published); "
                f"run: billing close {month.previous}"
            )
            raise MonthOutOfOrder(message)
        closed_as_of = as_of(before)
        if closed_as_of > self.as_of(month):
            message = (
                f"{month} would be closed as of {self.as_of(month):%Y-%m-%dT%H:%M:%SZ}, before {month.previous} "
                f"({closed_as_of:%Y-%m-%dT%H:%M:%SZ}); give --as-of {closed_as_of:%Y-%m-%dT%H:%M:%SZ} or later"
            )
            raise MonthOutOfOrder(message)
        return before

    def window(self, month: Month, predecessor: Generation | None) -> Window:
        """The arrivals that a month's run sees and counts."""
        if predecessor is None:
            return Window(self.period(month), None, self.as_of(month), None)
        late_from = self.period(month.back(self.settings.late_months)).start
        return Window(self.period(month), as_of(predecessor), self.as_of(month), late_from)

    def settled(self, table: str, month: Month, payer: str | None = None) -> Generation:
        """A table of a month as it was issued, or as it is drafted while it is not.

        Given a payer, what its invoice alone was made from, if it was released after the others were issued.
        """
        issued = self.books.issued_month(month)
        if issued is None:
            return self.read(table, month)
        own = issued.generations.get(released_table(payer, table)) if payer else None
        return self.warehouse.generation(table, partition(month), own or issued.generations[table])

    def settled_if_there(self, table: str, month: Month) -> Generation | None:
        """The same of a table that came later; None where the month was closed or issued without it."""
        issued = self.books.issued_month(month)
        if issued is None:
            return self.warehouse.current(table, partition(month))
        return self.settled(table, month) if table in issued.generations else None

    def aside(self, month: Month) -> "Billing":
        """The same view, but what it publishes of one month no other reader takes for the month."""
        return replace(self, warehouse=self.warehouse.aside(partition(month)))

    def read(self, table: str, month: Month) -> Generation:
        """A table of the month that an earlier stage published."""
        return self.warehouse.require(table, partition(month))


def released_table(payer: str, table: str) -> str:
    """How the books name a table of a month that was computed anew to release one payer."""
    return f"{payer} {table}"


def partition(month: Month) -> str:
    """The partition of a monthly table in the warehouse."""
    return f"month={month}"


def as_of(generation: Generation) -> datetime:
    """The `as_of` that a generation was made with."""
    return datetime.fromisoformat(generation.manifest["as_of"])


def inputs_of(generations: Mapping[str, Generation]) -> dict[str, str]:
    """What a publish was made from, for its manifest."""
    return {name: generation.id for name, generation in generations.items()}


def open_billing(
    settings: Settings,
    code_version: str,
    *,
    as_of: datetime | None = None,
    issue_date: date | None = None,
    without_sources: Iterable[str] = (),
) -> Billing:
    """Open a home, creating its folders where they are missing."""
    home = settings.home.resolve()
    home.mkdir(parents=True, exist_ok=True)
    return Billing(
        settings=settings,
        warehouse=Warehouse(home / "warehouse", code_version=code_version),
        landing=Landing(Path(settings.landing_folder).resolve()),
        books=Books(home / "books.sqlite"),
        chosen_as_of=as_of,
        chosen_issue_date=issue_date,
        without_sources=frozenset(without_sources),
    )
