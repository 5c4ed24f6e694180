"""Releasing a parked payer after its month was issued: its bill is computed anew, everyone else's stays as it is.

The month is computed a second time, aside: with what had landed since, in generations that never become current. Of
these only the payer's rows are taken. Together with the rows that were issued they are the month's new generations,
which the next months settle on; the books keep both, so that the released invoice leads to its own usage.
"""

from collections.abc import Mapping

import dagster as dg
import polars as pl

from billing_pipeline.defs.billing import Billing, partition, released_table
from billing_pipeline.defs.credit_notes import ISSUED_CREDIT_NOTES, number_notes
from billing_pipeline.defs.decisions import cancel_documents
from billing_pipeline.defs.documents import add_document
from billing_pipeline.defs.exports import JOURNAL, write_journal
from billing_pipeline.defs.invoices import ISSUED, ISSUED_FROM, SHOWN_IF_THERE, number_drafts, require_issuable
from billing_pipeline.defs.monthly import materialise_aside
from billing_pipeline.defs.numbering import publish_numbered
from billing_pipeline.defs.reissues import REISSUED_INVOICES, number_reissues
from billing_pipeline.defs.specific import SPECIFIC_INVOICES, number_beside, read_beside
from billing_pipeline.defs.states import publish_states
from billing_pipeline.rules.admission import ORG_UNKNOWN
from billing_pipeline.rules.period import Month
from billing_pipeline.tables.corrections import IssuedCreditNotes
from billing_pipeline.tables.credits import CreditStatements
from billing_pipeline.tables.invoices import (
    Drafts,
    InvoiceLines,
    Invoices,
    ParkedOrganisations,
    ReissuedInvoices,
    SpecificInvoices,
)
from billing_pipeline.warehouse import Generation

#: What is computed anew; `invoices/invoices` and documents are made for the payer alone.
_STAGES = ("accounts", "usage", "rating", "credits", "invoices")


class NotReleasable(RuntimeError):
    """The payer cannot be billed for the month: it is not parked, still faulty, or another month comes first."""


def require_held_back(billing: Billing, payer: str, month: Month) -> None:
    """Check that a payer is held back in the month (parked, or unknown when it was closed), and not in the one before.

    Raises:
        NotReleasable: it is not, or another month must be released first.
    """
    if not is_held_back(billing, payer, month):
        customers = billing.read("accounts/organisations", month).read().filter(owner_id=payer)
        payers = customers["payer_id"].unique().sort().to_list()
        if payers not in ([], [payer]):
            message = f"{payer} does not pay for itself in {month}; release who pays: {', '.join(payers)}"
            raise NotReleasable(message)
        message = f"{payer} is not parked in {month}; billing status {month} says who is"
        raise NotReleasable(message)
    first = billing.books.first_month()
    if first is not None and month > first and is_held_back(billing, payer, month.previous):
        message = (
            f"{payer} is parked in {month.previous}, too, and {month} settles on it; "
            f"run: billing release {payer} {month.previous}"
        )
        raise NotReleasable(message)
    if (
        billing.books.is_issued(month)
        and billing.books.is_issued(month.next)
        and _is_billed(billing, payer, month.next)
    ):
        message = f"{payer} was billed for {month.next} without {month}; what it used in {month} needs a correction"
        raise NotReleasable(message)


def require_mended(billing: Billing, payer: str, month: Month) -> None:
    """Check that a month, computed again, bills the payer.

    Raises:
        NotReleasable: it does not; the message has the reasons.
    """
    reasons = _reasons(billing.read("invoices/parked_organisations", month)).get(payer)
    if reasons:
        message = f"{payer} still cannot be billed for {month}: {'; '.join(reasons)}; mend that, land it, release again"
        raise NotReleasable(message)
    if billing.read("credits/credit_statements", month).read().filter(payer_id=payer).is_empty():
        message = f"{payer} pays for nobody in {month}; land its organisations row, or release who pays in its place"
        raise NotReleasable(message)


def rerate(billing: Billing, month: Month, assets: list[dg.AssetsDefinition]) -> Billing:
    """Compute a month anew, aside, up to its drafts.

    Args:
        billing: the home, with the later `as_of`.
        month: an issued month.
        assets: all assets of the pipeline.

    Returns:
        The home as the second computation sees it.
    """
    aside = billing.aside(month)
    materialise_aside(aside, month, assets, dg.AssetSelection.groups(*_STAGES) - dg.AssetSelection.assets(*ISSUED))
    return aside


def release(billing: Billing, aside: Billing, payer: str, month: Month) -> dict[str, object] | None:
    """Issue the invoice of one payer out of a month that was computed anew; run once more after a crash, it goes on.

    Args:
        billing: the home, with the later `as_of`.
        aside: the same after `rerate`.
        payer: who is parked in the issued month.
        month: the issued month.

    Returns:
        The invoice, or None where nothing is due.

    Raises:
        NotReleasable: the payer is still faulty, or was billed to another payer that is issued.
    """
    require_mended(aside, payer, month)
    _require_counted_once(billing, aside, payer, month)
    numbered = _number(aside, payer, month)
    beside = number_beside(aside, month, payer)
    before = billing.books.issued_month(month)
    is_shown = before is not None and SHOWN_IF_THERE in before.generations
    tables = [*ISSUED_FROM, SHOWN_IF_THERE] if is_shown else ISSUED_FROM
    released = {table: _merge(billing, aside, table, payer, month) for table in tables}
    invoices = billing.read("invoices/invoices", month)
    others = invoices.typed(Invoices).filter(pl.col("payer_id") != payer)
    _publish(billing, invoices, {"rows": pl.concat([others, numbered]).sort("number")}, aside, payer, month)
    publish_numbered(billing, month, SPECIFIC_INVOICES.key, SpecificInvoices, beside)
    notes = number_notes(aside, month, payer)
    publish_numbered(billing, month, ISSUED_CREDIT_NOTES.key, IssuedCreditNotes, notes)
    reissued = number_reissues(aside, month, notes)
    publish_numbered(billing, month, REISSUED_INVOICES.key, ReissuedInvoices, reissued)
    cancel_documents(billing, month, notes)
    generations = {
        **(dict(before.generations) if before else {}),
        **{table: generation.id for table, generation in released.items()},
        **{released_table(payer, table): name for table, name in aside.warehouse.published_aside.items()},
    }
    billing.books.record_month_issued(month, generations, as_of=billing.as_of(month))
    _hold_back_after(billing, payer, month)
    publish_states(billing, month)
    if billing.warehouse.current(JOURNAL, partition(month)):
        write_journal(billing, month)
    if numbered.is_empty() and beside.is_empty() and reissued.is_empty():
        return None
    add_document(billing, month, payer)
    return None if numbered.is_empty() else numbered.row(0, named=True)


def is_held_back(billing: Billing, payer: str, month: Month) -> bool:
    """Whether a payer is parked, or its usage was refused because nobody knew it and it is not billed since."""
    parked = billing.settled("invoices/parked_organisations", month).read()
    if not parked.filter(payer_id=payer).is_empty():
        return True
    owners = billing.read("usage/quarantine", month).read().filter(reason=ORG_UNKNOWN)["raw"]
    was_unknown = owners.str.json_path_match("$.owner_id").eq(payer).any()
    return bool(was_unknown) and not _is_billed(billing, payer, month)


def _is_billed(billing: Billing, payer: str, month: Month) -> bool:
    return not billing.settled("credits/credit_statements", month).read().filter(payer_id=payer).is_empty()


def _hold_back_after(billing: Billing, payer: str, month: Month) -> None:
    """Park a payer that nobody knew in the months that were issued without it; they are released one by one, too."""
    detail = f"billed for {month} after this month was issued; run: billing release {payer} {{}}"
    later = month.next
    while issued := billing.books.issued_month(later):
        table = "invoices/parked_organisations"
        held = billing.settled(table, later)
        if held.read().filter(payer_id=payer).is_empty():
            row = {"payer_id": payer, "reason": "predecessor_parked", "detail": detail.format(later)}
            rows = pl.concat([held.read(), pl.DataFrame([row])]).sort("payer_id", "reason")
            generation = billing.warehouse.publish(
                table,
                partition(later),
                ParkedOrganisations.validate(rows),
                as_of=issued.as_of,
                inputs=dict(held.manifest["inputs"]) | {"issued before": held.id},
            )
            generations = dict(issued.generations) | {table: generation.id}
            billing.books.record_month_issued(later, generations, as_of=issued.as_of)
        later = later.next


def _reasons(parked: Generation) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = {}
    for row in parked.read().sort("payer_id", "reason").iter_rows(named=True):
        reasons.setdefault(row["payer_id"], []).append(f"{row['reason']} ({row['detail']})")
    return reasons


def _require_counted_once(billing: Billing, aside: Billing, payer: str, month: Month) -> None:
    """Nothing that the payer is billed for now was billed to, or counted for, another one that is issued.

    Raises:
        NotReleasable: a correction changed who pays, so the others' invoices would have to change with it.
    """
    issued, anew = (
        {table: home.settled(table, month) if home is billing else home.read(table, month) for table in ISSUED_FROM}
        for home in (billing, aside)
    )
    own_grants = anew["credits/opened_grants"].read().filter(payer_id=payer)
    elsewhere = issued["credits/opened_grants"].read().filter(pl.col("payer_id") != payer)
    twice = own_grants.join(elsewhere, on="grant_id", how="semi")["grant_id"].to_list()
    told = ("payer_id", "owner_id", "line_id", "amount_cents")
    lines = {
        name: pl.concat(
            tables[f"invoices/{table}"].read().select(told) for table in ("invoice_lines", "specific_lines")
        )
        for name, tables in (("issued", issued), ("anew", anew))
    }
    owners = lines["anew"].filter(payer_id=payer)["owner_id"].unique().to_list()
    amounts = {
        name: set(
            rows.filter(pl.col("payer_id") != payer, pl.col("owner_id").is_in(owners))
            .select("line_id", "amount_cents")
            .iter_rows()
        )
        for name, rows in lines.items()
    }
    if twice or amounts["issued"] != amounts["anew"]:
        what = f"the grants {', '.join(twice)}" if twice else "usage of its organisations"
        message = (
            f"{what} of {payer} went to another payer whose invoice of {month} is issued; "
            f"move who pays only from {month.next} on"
        )
        raise NotReleasable(message)


def _number(aside: Billing, payer: str, month: Month) -> pl.DataFrame:
    """The payer's draft with its number; no row where nothing is due."""
    drafts = aside.read("invoices/drafts", month).typed(Drafts).filter(payer_id=payer)
    beside = read_beside(aside, month).filter(payer_id=payer)
    if drafts.is_empty() and beside.is_empty():
        return Invoices.create_empty()
    require_issuable(aside, month, drafts, beside)
    lines = aside.read("invoices/invoice_lines", month).typed(InvoiceLines).filter(payer_id=payer)
    statements = aside.read("credits/credit_statements", month).typed(CreditStatements).filter(payer_id=payer)
    return number_drafts(aside, month, drafts, lines, statements)


def _merge(billing: Billing, aside: Billing, table: str, payer: str, month: Month) -> Generation:
    """Publish what was issued together with the payer's own rows, part by part."""
    issued, anew = billing.settled(table, month), aside.read(table, month)
    parts = {
        part: _with_rows_of(issued.read(part), anew.read(part), payer)
        for part in (name.removesuffix(".parquet") for name in issued.files)
    }
    return _publish(billing, issued, parts, aside, payer, month)


def _with_rows_of(issued: pl.DataFrame, anew: pl.DataFrame, payer: str) -> pl.DataFrame:
    """What was issued, the payer's rows replaced by those computed anew; refills belong to who holds them now."""
    whose = "holder_id" if "holder_id" in issued.columns else "payer_id"
    rows = pl.concat([issued.filter(pl.col(whose) != payer), anew.filter(pl.col(whose) == payer)])
    return rows.sort("payer_id", maintain_order=True)


def _publish(
    billing: Billing,
    issued: Generation,
    parts: Mapping[str, pl.DataFrame],
    aside: Billing,
    payer: str,
    month: Month,
) -> Generation:
    """Publish a table of the issued month anew; its inputs name what was issued and what the payer's rows are from."""
    inputs = dict(issued.manifest["inputs"]) | {"issued before": issued.id}
    own = aside.warehouse.published_aside.get(issued.table)
    if own:
        inputs[released_table(payer, issued.table)] = own
    with billing.warehouse.publishing(
        issued.table, partition(month), as_of=billing.as_of(month), inputs=inputs
    ) as publication:
        for part, rows in parts.items():
            publication.write(part, rows)
    return publication.generation
