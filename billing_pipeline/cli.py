"""`billing …`: thin commands over the jobs that the Dagster UI runs too, and over the tables that they publish.

Heavy modules are imported by the commands that need them, so that `billing --help` answers at once.
"""

import atexit
import gc
import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from billing_pipeline.rules.period import MalformedMonth, Month, parse_months

if TYPE_CHECKING:
    from billing_pipeline.defs.billing import Billing

_DAGSTER_YAML = """\
telemetry:
  enabled: false
nux:
  enabled: false
"""


#: What people decide about an issued document; that it is paid or refunded is what payments say.
_DECIDED = ["PENDING", "PROCESSING", "PAYMENTHELD", "WONTPAY"]


class MonthType(click.ParamType):
    """`2026-10`."""

    name = "month"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Month:
        """Read a month."""
        try:
            return value if isinstance(value, Month) else Month.parse(value)
        except MalformedMonth as problem:
            self.fail(str(problem), param, ctx)


class MonthsType(click.ParamType):
    """`2026-10` or `2026-08..2026-10`."""

    name = "months"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[Month]:
        """Read a month or a range of months."""
        try:
            return value if isinstance(value, list) else parse_months(value)
        except MalformedMonth as problem:
            self.fail(str(problem), param, ctx)


class InstantType(click.ParamType):
    """`2026-11-03T00:00:00Z`, or a date for its midnight UTC."""

    name = "instant"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read an instant; a date alone is its midnight in UTC."""
        if isinstance(value, datetime):
            return value
        try:
            instant = datetime.fromisoformat(value if "T" in value else f"{value}T00:00:00Z")
        except ValueError:
            self.fail(f"{value!r} is not an instant; write it as 2026-11-03T00:00:00Z", param, ctx)
        if instant.tzinfo is None:
            self.fail(f"{value!r} has no offset; write {value}Z for UTC", param, ctx)
        return instant.astimezone(UTC)


def _folder_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--home` and `--landing`, which go before the environment and every other setting."""

    def set_environment(name: str) -> Callable[[click.Context, click.Parameter, Path | None], None]:
        def keep(ctx: click.Context, param: click.Parameter, value: Path | None) -> None:
            del ctx, param
            if value is not None:
                os.environ[name] = str(value.resolve())

        return keep

    for flag, variable, text in (
        ("--landing", "BILLING_LANDING", "Where usage and reference files land [default: landing in the home]."),
        ("--home", "BILLING_HOME", "Everything the pipeline keeps [default: ./billing_home]."),
    ):
        command = click.option(
            flag,
            type=click.Path(path_type=Path, file_okay=False),
            callback=set_environment(variable),
            expose_value=False,
            is_eager=True,
            help=text,
        )(command)
    return command


def _as_of_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--as-of",
        type=InstantType(),
        help="What has landed by then is seen [default: each month's end and the days of grace].",
    )(command)


def _issue_date_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--issue-date",
        type=click.DateTime(["%Y-%m-%d"]),
        help="Date on the invoices [default: the date of --as-of].",
    )(command)


def _without_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--without",
        "without_sources",
        metavar="SOURCE",
        multiple=True,
        help="Go on without a source that the settings need; may be given several times.",
    )(command)


def _decision_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Who decided what a credit note of the next month carries out, why, and from when on."""
    options = (
        click.option("--reason", required=True, help="Why; kept for good."),
        click.option("--author", required=True, help="Who decides; kept for good."),
        click.option(
            "--at",
            type=InstantType(),
            help="From when on it counts: the next month closed as of then or later carries it out "
            "[default: the last issue of a month, or change of the document].",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


class _Commands(click.Group):
    """Shows its examples as they are written, and says what is wrong without a traceback where that is known."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as problem:
            # The pipeline's own errors say what, where and what to do next; any other is a bug and shows itself.
            if type(problem).__module__.startswith("billing_pipeline."):
                raise click.ClickException(str(problem)) from problem
            raise

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        formatter.write(f"\n{_EXAMPLES}")


_EXAMPLES = """\
Examples:
  billing demo                                  a sample provider, two months billed
  billing bill 2026-10 --landing DIR --home DIR your own files
  billing bill 2025-01..2025-05 --as-of 2026-11-21T00:00:00Z
                                                history that landed late
  billing status 2026-10                        what happened, who is parked and why
  billing show rating/charges 2026-10 --organisation orga_1
  billing explain INV-2026-000001 3             line 3 down to raw files and rows
  billing explain 2026-10 --organisation orga_1 --figure h
  billing state INV-2026-000001                 what became of an invoice
  billing cancel INV-2026-000001 --reason TEXT --author NAME
                                                credit all of it with the next month; --reissue asks anew
  billing refund INV-2026-000001 --reason TEXT --author NAME
                                                give back what nobody spent of its refill
  billing interim 2026-10 --as-of 2026-10-12T02:00:00Z
                                                invoice who is invoiced by the day or week
  billing verify                                that nothing was touched
  billing release orga_1 2026-10                bill who was parked, once that is mended
  billing whatif 2026-10 --prices FILE.csv      the month under another price list
  billing export fec 2026-01..2026-12           the journal for accountants
  billing rebuild 2026-10                       an issued month once more, byte for byte
  billing correct 2026-10 --as-of 2027-02-01    rate an issued month again; billing diff 2026-10 shows it once more
  billing correct 2026-10 --approve --author NAME
                                                book the difference on the next invoices
"""


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def main() -> None:
    """Turn raw cloud usage into one exact, explained invoice per organisation and month."""
    # What is imported lives until the end: looking through it for garbage again and again finds none.
    gc.set_threshold(100_000)


def command() -> None:
    """`billing` as a process: it ends at once, as taking all that was imported apart first would cost a second."""
    try:
        main()
    except SystemExit as end:
        # What others left to be done at the end is done.
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(end.code if isinstance(end.code, int) else int(end.code is not None))


@main.command()
@_folder_options
@click.option("--organisations", default=40, show_default=True, type=click.IntRange(min=12), help="How many.")
@click.option("--months", default=3, show_default=True, type=click.IntRange(2, 24), help="How many months of usage.")
def demo(organisations: int, months: int) -> None:
    """Make a sample provider, bill its first two months, and say where the invoices are."""
    from billing_pipeline.sample.provider import seller, write_sample

    first = Month(2026, 8)
    home = _home()
    if (home / "landing").exists():
        click.echo(f"{home / 'landing'} holds a sample already; billing it again changes nothing.")
    else:
        home.mkdir(parents=True, exist_ok=True)
        _write_seller(home / "settings.toml", seller())
        summary = write_sample(home / "landing", organisations=organisations, first=first, months=months)
        rows = sum(summary.rows.values())
        click.echo(f"{rows:,} raw rows of {len(summary.payers)} payers and their sub-organisations have landed.")
    billed = [first, first.next]
    _run("bill_month", billed, None, None)
    _print_totals(billed)
    click.echo(f"\nInvoices: {home / 'documents' / _open().settings.series}")
    click.echo("Next: billing status · billing explain INV-2026-000001 1 · make ui")


@main.command()
@_folder_options
@click.argument("months", type=MonthsType(), metavar="MONTH")
@_as_of_option
@_without_option
def close(months: list[Month], as_of: datetime | None, without_sources: tuple[str, ...]) -> None:
    """Rate MONTH and draft its invoices; may be run again until the month is issued."""
    _run("close_month", months, as_of, None, without_sources)
    _print_totals(months)


@main.command()
@_folder_options
@click.argument("months", type=MonthsType(), metavar="MONTH")
@_as_of_option
@_issue_date_option
def issue(months: list[Month], as_of: datetime | None, issue_date: datetime | None) -> None:
    """Number MONTH's drafts and make the final documents; an issued month never changes again."""
    _run("issue_month", months, as_of, issue_date)
    _print_totals(months)


@main.command()
@_folder_options
@click.argument("months", type=MonthsType(), metavar="MONTH[..MONTH]")
@_as_of_option
@_issue_date_option
@_without_option
def bill(
    months: list[Month], as_of: datetime | None, issue_date: datetime | None, without_sources: tuple[str, ...]
) -> None:
    """Close every month of a range, then issue every month."""
    _run("bill_month", months, as_of, issue_date, without_sources)
    _print_totals(months)


@main.command()
@_folder_options
@click.argument("month", type=MonthType())
@click.option(
    "--as-of", type=InstantType(), required=True, help="Periods that have ended by then, and what has landed."
)
@_issue_date_option
@_without_option
def interim(month: Month, as_of: datetime, issue_date: datetime | None, without_sources: tuple[str, ...]) -> None:
    """Ask those who are invoiced by the day or week for what MONTH to date lacks, while it runs."""
    from billing_pipeline.console.reporting import interim_sentences

    known = {document.number for document in _open().books.issued(month)}
    _run("bill_periods", [month], as_of, issue_date, without_sources)
    for sentence in interim_sentences(_open(), month, known):
        click.echo(sentence)


@main.command()
@_folder_options
@click.argument("organisation")
@click.argument("month", type=MonthType())
@click.option(
    "--as-of",
    type=InstantType(),
    help="What has landed by then is seen [default: the end of the newest day that landed].",
)
@_issue_date_option
def release(organisation: str, month: Month, as_of: datetime | None, issue_date: datetime | None) -> None:
    """Bill ORGANISATION for MONTH, in which it was parked, once the cause is mended."""
    from billing_pipeline.console.releasing import release_organisation

    _prepare_dagster_home()
    for sentence in release_organisation(_open(), organisation, month, as_of=as_of, issue_date=_day(issue_date)):
        click.echo(sentence)


@main.command()
@_folder_options
@click.argument("month", type=MonthType(), required=False)
def status(month: Month | None) -> None:
    """Say how far every month is, or what happened in MONTH."""
    billing = _open()
    if month is not None:
        _print_month(billing, month)
        return
    months = [Month.parse(key.removeprefix("month=")) for key in billing.warehouse.partitions("invoices/drafts")]
    if not months:
        click.echo(f"No month is closed in {_home()}; run: billing bill MONTH")
        return
    _print_totals(months)


@main.command()
@_folder_options
@click.argument("table", metavar="STAGE/TABLE")
@click.argument("month", type=MonthType())
@click.option("--organisation", help="Only rows of this owner or payer.")
@click.option(
    "--format", "form", type=click.Choice(["table", "csv", "jsonl"]), default="table", show_default=True, help="Form."
)
def show(table: str, month: Month, organisation: str | None, form: str) -> None:
    """Print a published table of MONTH, e.g. rating/charges."""
    import polars as pl

    from billing_pipeline.rules.evidence import instants

    billing = _open()
    generation = billing.read(table, month)
    if "rows.parquet" in generation.manifest["files"]:
        rows = generation.read()
    else:
        events = pl.concat([generation.read("events"), generation.read("sources")], how="horizontal")
        rows = instants(_with_meters(generation, events))
    if table == "rating/runs":
        rows = billing.read("rating/run_meters", month).read().join(rows, on="meter_id").drop("meter_id")
    if organisation:
        names = [name for name in ("owner_id", "payer_id") if name in rows.columns]
        rows = rows.filter(pl.any_horizontal(pl.col(name) == organisation for name in names)) if names else rows
    _print_rows(rows, form)


@main.group("one-shot")
def one_shot() -> None:
    """Charges that people enter."""


@one_shot.command("add")
@_folder_options
@click.argument("owner")
@click.argument("description")
@click.option("--reference", required=True, help="External reference: under it the charge is entered once.")
@click.option("--price", required=True, help="Price of one, e.g. 49.90.")
@click.option("--quantity", default="1", show_default=True, help="How many.")
@click.option("--currency", default="EUR", show_default=True, help="That of who pays.")
@click.option("--date", type=InstantType(), required=True, help="When the service is performed, or ordered.")
@click.option("--recurring", is_flag=True, help="The next month is estimated with it.")
@click.option("--specific", is_flag=True, help="Invoice it on its own, beside the monthly invoice.")
@click.option("--sells-credits", is_flag=True, help="It sells prepaid credits, on an invoice of their own.")
@click.option("--author", required=True, help="Who enters it; kept for good.")
@click.option("--at", type=InstantType(), required=True, help="When it is entered; the file lands on that day.")
def add_one_shot(**entered: Any) -> None:
    """Land a charge of OWNER, e.g. a service or a top-up; the month of its date bills it."""
    from billing_pipeline.console.ordering import Order, land_order

    order = Order(
        owner_id=entered["owner"],
        description=entered["description"],
        unit_price=entered["price"],
        quantity=entered["quantity"],
        currency=entered["currency"],
        performed_at=entered["date"],
        is_recurring=entered["recurring"],
        is_specific=entered["specific"],
        sells_credits=entered["sells_credits"],
        event_id=entered["reference"],
        author=entered["author"],
        entered_at=entered["at"],
    )
    click.echo(land_order(_open(), order))


@main.command()
@_folder_options
@click.argument("number", metavar="NUMBER")
@click.argument("new_state", required=False, type=click.Choice(_DECIDED, case_sensitive=False))
@click.option("--reason", help="Why; kept for good.")
@click.option("--author", help="Who decides; kept for good.")
@click.option("--at", type=InstantType(), help="From when on it counts: a month closed as of before does not see it.")
def state(number: str, new_state: str | None, reason: str | None, author: str | None, at: datetime | None) -> None:
    """Show what became of invoice NUMBER, or move it: hold (PAYMENTHELD), write off (WONTPAY), release (PENDING).

    NUMBER may be PAYER/MONTH. That an invoice is paid or refunded is what landed payments say.
    """
    from billing_pipeline.console.states import move_state, tell_history
    from billing_pipeline.rules.lifecycle import State

    billing = _open()
    if new_state is None:
        for line in tell_history(billing, number):
            click.echo(line)
        return
    if not (reason and author and at):
        message = f"{new_state} needs --reason, --author and --at: the books keep all three"
        raise click.UsageError(message)
    click.echo(move_state(billing, number, State(new_state.upper()), reason=reason, author=author, at=at))


@main.command()
@_folder_options
@click.argument("number", metavar="NUMBER")
@click.option("--reissue", is_flag=True, help="Issue it once more, with the address and VAT number of then.")
@_decision_options
def cancel(number: str, reissue: bool, reason: str, author: str, at: datetime | None) -> None:
    """Cancel the issued invoice NUMBER (or PAYER/MONTH) as a whole, by a credit note of the next month.

    What paid it is given back: money with its VAT, prepaid credits, then coupons. Its refill is asked for no more, or
    what nobody spent of it is refunded. Credits sold on their own are cancelled until they are paid. With --reissue an
    invoice that nobody paid is issued once more in its stead, with the same lines; no credits move.
    """
    from billing_pipeline.console.deciding import cancel as cancel_document
    from billing_pipeline.console.deciding import reissue as reissue_document

    decide = reissue_document if reissue else cancel_document
    click.echo(decide(_open(), number, reason=reason, author=author, at=at))


@main.command()
@_folder_options
@click.argument("name", metavar="NUMBER|ORGANISATION")
@_decision_options
def refund(name: str, reason: str, author: str, at: datetime | None) -> None:
    """Refund what nobody spent of the credits that invoice NUMBER sold, or of all that a closed ORGANISATION prepaid.

    A credit note of the next month, at the VAT of the invoice that sold the credits, takes them off the balance.
    """
    from billing_pipeline.console.deciding import refund as refund_document

    for sentence in refund_document(_open(), name, reason=reason, author=author, at=at):
        click.echo(sentence)


@main.command()
@_folder_options
@click.option("--head", metavar="SEQ:HASH", help="Where the books stood once; they must still contain that.")
def verify(head: str | None) -> None:
    """Check that nothing was touched: books, register, every published table, every document.

    Says what was, by entry, table and file, and ends with 1 then.
    """
    from billing_pipeline.books import GENESIS, Head
    from billing_pipeline.console.verifying import verify_home

    seq, _, sha256 = (head or "").partition(":")
    if head and not (seq.isascii() and seq.isdigit() and sha256):
        message = f"{head!r} is no head of the books; give the one that billing verify printed, such as 12:ab34…"
        raise click.UsageError(message)
    verification = verify_home(_open(), Head(int(seq), sha256) if head else GENESIS)
    for line in (*verification.counts, *verification.problems):
        click.echo(line)
    if verification.problems:
        click.echo(f"{len(verification.problems):,} problems")
        raise SystemExit(1)
    click.echo("everything is what was written")


@main.command()
@_folder_options
@click.argument("what", nargs=-1, required=True, metavar="INVOICE|MONTH [LINE]")
@click.option("--organisation", help="Who pays; MONTH instead of INVOICE then.")
@click.option("--figure", help="A letter of the statement (a to i, A, B, F) or a name, e.g. h or vat.")
def explain(what: tuple[str, ...], organisation: str | None, figure: str | None) -> None:
    """Say why an invoice, one of its figures or one of its lines is what it is.

    INVOICE is a number, or PAYER/MONTH of a draft; LINE is a line's number or id.
    """
    from rich.console import Console

    from billing_pipeline.console.explaining import explain_document, explain_figure, explain_invoice, explain_line

    billing = _open()
    invoice, line = _invoice_and_line(what, organisation)
    if line and figure:
        message = f"--figure {figure} is of the whole invoice; leave out the line {line}"
        raise click.UsageError(message)
    others = [issued for issued in billing.books.issued() if issued.number == invoice and not issued.is_monthly]
    payer, month = _find_invoice(billing, invoice)
    if others:
        shown = explain_document(billing, others[0], line, figure)
    elif line:
        shown = explain_line(billing, payer, month, line)
    elif figure:
        shown = explain_figure(billing, payer, month, figure)
    else:
        shown = explain_invoice(billing, payer, month)
    # As wide as the widest path: rows are for copying, a terminal wraps them by itself.
    console = Console(highlight=False, markup=False, width=1_000)
    for part in shown:
        console.print(part)


def _invoice_and_line(what: tuple[str, ...], organisation: str | None) -> tuple[str, str | None]:
    """The invoice and the line among the arguments; with an organisation, its month stands for the invoice."""
    words = list(what)
    if organisation:
        months = [word for word in words if len(word) == len("2026-10") and word[4] == "-"]
        if len(months) != 1:
            message = "with --organisation goes the MONTH, e.g. billing explain 2026-10 3 --organisation ID"
            raise click.UsageError(message)
        words.remove(months[0])
        words.insert(0, f"{organisation}/{months[0]}")
    if len(words) > 2:
        message = f"one invoice and one line at most, not {' '.join(what)}"
        raise click.UsageError(message)
    return words[0], words[1] if len(words) == 2 else None


@main.command()
@_folder_options
@click.argument("month", type=MonthType())
@click.option(
    "--prices",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="Parquet or CSV with the columns of the feed price_tiers; replaces the whole list.",
)
@click.option("--format", "form", type=click.Choice(["table", "csv"]), default="table", show_default=True, help="Form.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Write the differences as CSV, too.")
def whatif(month: Month, prices: Path, form: str, output: Path | None) -> None:
    """Say what MONTH would have cost with other PRICES, by organisation and service; nothing is published."""
    from billing_pipeline.console.comparing import print_csv, print_differences
    from billing_pipeline.defs.whatif import rate_with_prices

    _prepare_dagster_home()
    compared = rate_with_prices(_open(), month, prices)
    if output:
        output.write_text(print_csv(compared))
    click.echo(print_csv(compared) if form == "csv" else print_differences(compared), nl=False)


@main.command()
@_folder_options
@click.argument("month", type=MonthType())
def rebuild(month: Month) -> None:
    """Compute an issued MONTH once more, aside, and compare every table and document byte for byte."""
    from billing_pipeline.definitions import defs
    from billing_pipeline.defs.rebuilding import rebuild as rebuild_month

    _prepare_dagster_home()
    rebuilt = rebuild_month(_open(), month, list(defs().assets or []))
    click.echo(
        f"{month} as of {rebuilt.as_of:%Y-%m-%dT%H:%M:%SZ}, code version {rebuilt.code_version[:16]}: "
        f"{rebuilt.tables:,} tables of {rebuilt.files:,} files and {rebuilt.documents:,} files of documents made "
        f"again, {len(rebuilt.differences):,} differences."
    )
    for difference in rebuilt.differences:
        click.echo(f"  {difference}")
    if rebuilt.differences:
        sys.exit(1)


@main.command()
@_folder_options
@click.argument("month", type=MonthType())
@click.option(
    "--as-of",
    type=InstantType(),
    help="What has landed by then is seen [default: the end of the newest day that landed].",
)
@click.option("--approve", is_flag=True, help="Book the differences that were published last on the next invoices.")
@click.option("--author", help="Who approves them.")
def correct(month: Month, as_of: datetime | None, approve: bool, author: str | None) -> None:
    """Rate MONTH, which is issued, again, and say what differs from what was billed; with --approve, book that.

    With --approve alone what was said last is approved; with --as-of, too, the month is rated again before.
    """
    from billing_pipeline.console.correcting import approve_correction, correct_month, print_differences

    if approve != bool(author):
        message = "--approve and --author NAME go together"
        raise click.UsageError(message)
    _prepare_dagster_home()
    if as_of or not approve:
        correct_month(_open(), month, as_of)
        click.echo(print_differences(_open(), month), nl=False)
    if author:
        click.echo(approve_correction(_open(), month, author))


@main.command()
@_folder_options
@click.argument("form", type=click.Choice(["fec", "beancount", "hledger"]))
@click.argument("months", type=MonthsType(), metavar="MONTH[..MONTH]")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the file [default: exports in the home].",
)
def export(form: str, months: list[Month], out: Path | None) -> None:
    """Write the journal of issued months as an accounting file: the French FEC, or text for beancount or hledger."""
    from billing_pipeline.console.exporting import export_fec, export_text

    folder = out or _home() / "exports"
    exported = export_fec(_open(), months, folder) if form == "fec" else export_text(_open(), months, folder, form)
    click.echo(f"{exported.entries:,} entries, {exported.postings:,} postings: {exported.file}")
    for currency, postings in exported.left_out.items():
        click.echo(f"Left out: {postings:,} postings in {currency}; a FEC holds euros, and no rate is invented.")


@main.command()
@_folder_options
@click.argument("month", type=MonthType())
@click.option("--format", "form", type=click.Choice(["table", "csv"]), default="table", show_default=True, help="Form.")
def diff(month: Month, form: str) -> None:
    """Say what differs in MONTH between what was billed and its second rating, by line, organisation and cause."""
    from billing_pipeline.console.correcting import print_csv, print_differences

    billing = _open()
    click.echo(print_csv(billing, month) if form == "csv" else print_differences(billing, month), nl=False)


@main.group("import-trace")
def import_trace() -> None:
    """Turn a public usage trace into landing files that can be billed."""


@import_trace.command()
@_folder_options
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--start", type=InstantType(), required=True, help="The instant that the trace's second 0 becomes.")
@click.option("--organisations", default=40, show_default=True, type=click.IntRange(min=1), help="How many to draw.")
@click.option("--seed", default=1, show_default=True, help="Of the draw; the same seed makes the same files.")
def alibaba(file: Path, start: datetime, organisations: int, seed: int) -> None:
    """Land the Alibaba GPU trace v2025: real usage, tenants drawn."""
    from billing_pipeline.sample.traces import import_alibaba
    from billing_pipeline.settings import Settings

    landing = Settings().landing_folder.resolve()
    rows = import_alibaba(file, landing, start=start, organisations=organisations, seed=seed)
    click.echo(f"{rows:,} runtime intervals of {organisations} organisations landed in {landing}.")


@import_trace.command()
@_folder_options
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--organisations", default=40, show_default=True, type=click.IntRange(min=1), help="How many to draw.")
@click.option("--seed", default=1, show_default=True, help="Of the draw; the same seed makes the same files.")
def bitbrains(file: Path, organisations: int, seed: int) -> None:
    """Land the Bitbrains trace of 2013: real heartbeats of 500 machines in three months, tenants drawn."""
    from billing_pipeline.sample.traces import import_bitbrains
    from billing_pipeline.settings import Settings

    landing = Settings().landing_folder.resolve()
    rows = import_bitbrains(file, landing, organisations=organisations, seed=seed)
    click.echo(f"{rows:,} heartbeats of {organisations} organisations landed in {landing}.")


@main.command()
@_folder_options
@click.option("--port", default=3000, show_default=True, help="On 127.0.0.1.")
def ui(port: int) -> None:
    """Start the Dagster UI and its daemon on 127.0.0.1."""
    from billing_pipeline.settings import REPOSITORY

    _prepare_dagster_home()
    os.chdir(REPOSITORY)
    command = ["dg", "dev", "-w", "workspace.yaml", "--host", "127.0.0.1", "--port", str(port)]
    os.execv(str(Path(sys.executable).with_name("dg")), command)  # noqa: S606 - our own environment's dg


def _home() -> Path:
    from billing_pipeline.settings import Settings

    return Settings().home.resolve()


def _prepare_dagster_home() -> None:
    """Dagster keeps its runs in the home; nothing is reported to anyone."""
    folder = _home() / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "dagster.yaml").exists():
        (folder / "dagster.yaml").write_text(_DAGSTER_YAML)
    os.environ["DAGSTER_HOME"] = str(folder)
    os.environ["BILLING_HOME"] = str(_home())
    os.environ["DO_NOT_TRACK"] = "1"


def _open() -> "Billing":
    """The home as a reader sees it."""
    from billing_pipeline.defs.billing import open_billing
    from billing_pipeline.settings import REPOSITORY, Settings
    from billing_pipeline.warehouse import code_version

    return open_billing(Settings(), code_version(REPOSITORY))


def _run(
    job: str,
    months: Sequence[Month],
    as_of: datetime | None,
    issue_date: datetime | None,
    without_sources: Sequence[str] = (),
) -> None:
    """Run a job over months with a progress bar; a failure ends the command with what to do next."""
    _prepare_dagster_home()
    from billing_pipeline.console.running import run_job

    run_job(job, months, as_of=as_of, issue_date=_day(issue_date), without_sources=without_sources)


def _day(chosen: datetime | None) -> date | None:
    """The date that an option's value stands for."""
    return chosen.date() if chosen else None


def _find_invoice(billing: "Billing", invoice: str) -> tuple[str, Month]:
    """Payer and month of an invoice number, or of `PAYER/MONTH`."""
    if "/" in invoice:
        payer, month = invoice.rsplit("/", 1)
        return payer, Month.parse(month)
    for issued in billing.books.issued():
        if issued.number == invoice and issued.request.kind == "credit_note":
            message = (
                f"{invoice} is a credit note of {issued.request.billing_month}; what it credits: billing show "
                f"credits/credit_note_lines {issued.request.billing_month} --organisation {issued.request.payer_id}"
            )
            raise click.ClickException(message)
        if issued.number == invoice:
            return issued.request.payer_id, issued.request.billing_month
    message = (
        f"no invoice {invoice} was issued in this home; a draft is named PAYER/MONTH (billing show invoices/drafts)"
    )
    raise click.ClickException(message)


def _with_meters(generation: Any, rows: Any) -> Any:
    """Rows with what their meter stands for."""
    if "meters.parquet" not in generation.manifest["files"]:
        return rows
    return generation.read("meters").join(rows, on="meter_id").drop("meter_id")


def _print_rows(rows: Any, form: str) -> None:
    import polars as pl

    if form == "csv":
        click.echo(rows.write_csv(), nl=False)
    elif form == "jsonl":
        click.echo(rows.write_ndjson(), nl=False)
    else:
        with pl.Config(
            tbl_rows=200, tbl_cols=-1, tbl_width_chars=220, fmt_str_lengths=40, tbl_hide_dataframe_shape=True
        ):
            click.echo(str(rows))
        click.echo(f"{rows.height:,} rows")


def _print_totals(months: Sequence[Month]) -> None:
    """One line a month: what was billed, and who was not."""
    from rich.console import Console
    from rich.table import Table

    from billing_pipeline.console.reporting import month_totals

    billing = _open()
    table = Table(
        "month", "state", *(("invoices", "fees", "credits used", "refills", "VAT", "to pay", "parked", "late rows"))
    )
    for column in table.columns[2:]:
        column.justify = "right"
    for month in months:
        for row in month_totals(billing, month):
            table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def _print_month(billing: "Billing", month: Month) -> None:
    """Totals of one month, its parked organisations, its refused files and rows."""
    from billing_pipeline.defs.billing import partition
    from billing_pipeline.intake.reasons import ROWS

    _print_totals([month])
    asked = billing.warehouse.current("interim/invoices", partition(month))
    if asked is not None:
        _print_section("Interim invoices", asked.read(), ["number", "payer_id", "reference", "payable_cents"])
    if billing.warehouse.current("invoices/drafts", partition(month)) is None:
        click.echo(f"{month} is not closed; run: billing close {month}")
        return
    for title, name, columns in (
        ("Parked", "invoices/parked_organisations", ["payer_id", "reason", "detail"]),
        ("Beside the invoices", "invoices/specific_drafts", ["payer_id", "kind", "reference", "payable_cents"]),
        ("Refused prices", "accounts/refused_prices", ["price_id", "reason", "detail"]),
        ("Refused files", "usage/file_receipts", ["path", "refused_reason", "detail"]),
        ("Quarantine", "usage/quarantine", ["path", "file_row", "reason"]),
        ("Flagged", "usage/flags", ["feed", "owner_id", "reason", "detail"]),
        ("Odd bills", "invoices/flags", ["payer_id", "reason", "detail"]),
        ("Told twice, billed once", "rating/overlapped_time", ["owner_id", "reason", "instances", "overlapped_us"]),
        ("Late", "usage/late_arrivals", ["feed", "origin_month", "late_rows"]),
        ("Scores", "invoices/scores", ["score", "ppm", "measure", "numerator", "denominator"]),
    ):
        # A release after the issue changes who was parked; everything else is told as it was last closed.
        rows = (billing.settled if title in ("Parked", "Beside the invoices") else billing.read)(name, month).read()
        if "refused_reason" in columns:
            rows = rows.drop_nulls("refused_reason")
        _print_section(title, rows, columns)
        if name == "usage/quarantine":
            for reason in sorted(ROWS.keys() & set(rows["reason"])):
                click.echo(f"  {reason}: {ROWS[reason]}")


def _print_section(title: str, rows: Any, columns: Sequence[str]) -> None:
    """How many rows there are, and the first of them; amounts are in the currency of their row."""
    from billing_pipeline.documents.formatting import format_money

    click.echo(f"\n{title}: {rows.height:,}")
    for row in rows.head(20).iter_rows(named=True):
        told = (format_money(row[name], row["currency"]) if name.endswith("_cents") else row[name] for name in columns)
        click.echo("  " + "  ".join(map(str, told)))


def _write_seller(file: Path, seller: Any) -> None:
    """The sample provider's identity as settings, for the home that bills it."""
    import json
    from dataclasses import asdict

    lines = [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in asdict(seller).items()]
    file.write_text("\n".join(["[seller]", *lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
