"""Opening a month from the one before: which lots are open, what is prepaid, and what is still pending.

The chain of months: everything a month starts from is its predecessor's tables, the grants and the payments that had
landed. A refill counts as prepaid once its invoice is paid; until then it is pending and not asked for again, and once
its invoice is written off, cancelled or refunded it is given up. What a payer held that pays for nobody any more opens
its new payer's month (`rules.succession`).
"""

from hashlib import sha256
from typing import NamedTuple

import dataframely as dy
import polars as pl

from billing_pipeline.rules.lifecycle import OPEN, State
from billing_pipeline.rules.payments import match_payments, name_documents
from billing_pipeline.rules.period import Period
from billing_pipeline.rules.succession import Takeovers, find_takeovers, first_organisations, is_closed, taken_over
from billing_pipeline.tables.accounts import CreditGrants, Organisations, Payments, RefillAgreements
from billing_pipeline.tables.columns import organisation_id
from billing_pipeline.tables.credits import (
    CreditAccounts,
    CreditLots,
    CreditMovements,
    CreditStatements,
    OpenedGrants,
    OpenLots,
    Refills,
)
from billing_pipeline.tables.invoices import Drafts, ParkedOrganisations, SpecificDrafts
from billing_pipeline.tables.table import Table

#: What a refill or top-up is known by.
REFILL = ("payer_id", "billing_month", "reference")
_IS_TOP_UP = pl.col("reference") != ""


class RefillInvoices(Table):
    """One row per earlier invoice that asked for a refill or sold credits; without a state it is assumed to be issued
    as drafted."""

    payer_id = organisation_id(primary_key=True)
    billing_month = dy.String(primary_key=True)
    #: Of a top-up; empty for a monthly invoice.
    reference = dy.String(primary_key=True)
    number = dy.String(nullable=True)
    #: What it was by the instant as of which the month is closed; null: not issued by then.
    state = dy.Enum([state.value for state in State], nullable=True)


class BasisHashes(Table):
    """One row per payer: what its statement was settled on."""

    payer_id = organisation_id(primary_key=True)
    basis_hash = dy.String(min_length=64, max_length=64)


class EnteredGrants(NamedTuple):
    """The grants that count by now, and why others that should do not."""

    #: The predecessor's, and those that enter this month.
    opened: dy.DataFrame[OpenedGrants]
    problems: dy.DataFrame[ParkedOrganisations]


class OpenedAccounts(NamedTuple):
    """What the statements of a month start from."""

    accounts: dy.DataFrame[CreditAccounts]
    #: Earlier refills and top-ups that are still pending.
    refills: dy.DataFrame[Refills]
    #: Grants, paid refills and top-ups that arrive this month, those given up, and credits that change their payer.
    movements: dy.DataFrame[CreditMovements]
    #: Whose credits another payer takes over this month.
    takeovers: dy.DataFrame[Takeovers]
    problems: dy.DataFrame[ParkedOrganisations]


def current_organisations(organisations: dy.DataFrame[Organisations]) -> dy.DataFrame[Organisations]:
    """The version of each organisation at the period's end: one row per owner."""
    return Organisations.validate(
        organisations.sort("owner_id", "valid_from").unique("owner_id", keep="last").sort("owner_id")
    )


def enter_grants(
    grants: dy.DataFrame[CreditGrants],
    opened: dy.DataFrame[OpenedGrants],
    organisations: dy.DataFrame[Organisations],
    period: Period,
) -> EnteredGrants:
    """Count each grant once: in the first month in which it has landed and is valid at some moment.

    A grant enters with its full amount for whoever pays for its owner then; sent again later, nothing changes. A grant
    of an unknown owner (``owner_missing``) or in another currency than its payer's (``currency``) stays out
    and parks the payer until the feed is corrected.

    Args:
        grants: what had landed by `as_of`.
        opened: what the predecessor had counted; empty in the first month.
        organisations: current versions, one row per owner.
        period: the month to open.
    """
    still_valid = pl.col("expires_at").is_null() | (pl.col("expires_at") > period.start)
    payers = organisations.select("owner_id", "payer_id")
    currencies = organisations.select(payer_id="owner_id", payer_currency="currency")
    candidates = (
        grants.filter(pl.col("starts_at") < period.end, still_valid)
        .join(opened, on="grant_id", how="anti")
        .join(payers, on="owner_id", how="left")
        .join(currencies, on="payer_id", how="left")
    )
    is_known = pl.col("payer_currency").is_not_null()
    is_payable = is_known & (pl.col("currency") == pl.col("payer_currency"))
    entering = candidates.filter(is_payable).with_columns(opened_month=pl.lit(str(period.month)))
    counted = pl.concat([opened, entering.select(OpenedGrants.column_names())])
    refused = candidates.filter(~is_payable).with_columns(payer_id=pl.coalesce("payer_id", "owner_id"))
    problems = (
        refused.sort("payer_id", "grant_id")
        .with_columns(reason=pl.when(is_known).then(pl.lit("currency")).otherwise(pl.lit("owner_missing")))
        .group_by("payer_id", "reason", maintain_order=True)
        .agg(
            detail=pl.when(pl.col("payer_currency").first().is_not_null())
            .then(
                pl.format(
                    "{} credit grants are not in {}: {}; credits are never converted, grant them in that currency",
                    pl.len(),
                    pl.col("payer_currency").first(),
                    _named("grant_id", "currency"),
                )
            )
            .otherwise(
                pl.format(
                    "{} credit grants have no organisation to pay for: {}; land its organisations row",
                    pl.len(),
                    _named("grant_id", "owner_id"),
                )
            )
        )
    )
    return EnteredGrants(OpenedGrants.validate(counted.sort("grant_id")), _problems(problems))


def open_lots(
    previous: dy.DataFrame[CreditLots],
    opened: dy.DataFrame[OpenedGrants],
    grants: dy.DataFrame[CreditGrants],
    takeovers: dy.DataFrame[Takeovers],
    period: Period,
) -> dy.DataFrame[OpenLots]:
    """The free lots that may pay in the period: what the predecessor left of its lots, and the lots that enter now.

    Expired lots need no rule here: settling the month in which a lot's validity ended left nothing of it.

    Args:
        previous: the predecessor's lots; empty in the first month.
        opened: the grants counted by now, as `enter_grants` returns them.
        grants: what had landed by `as_of`, for names, validity and scope of the lots that enter.
        takeovers: whose lots another payer holds from this month on, as they are.
        period: the month to open.
    """
    carried = taken_over(previous, takeovers).with_columns(left_before_cents="left_after_cents")
    entering = (
        opened.filter(pl.col("opened_month") == str(period.month), pl.col("kind") == "free")
        .select("grant_id", "payer_id", "granted_cents", left_before_cents="granted_cents")
        .join(grants.select("grant_id", "name", "priority", "starts_at", "expires_at", "slugs"), on="grant_id")
    )
    columns = OpenLots.column_names()
    lots = pl.concat([carried.select(columns), entering.select(columns)]).filter(pl.col("left_before_cents") > 0)
    return OpenLots.validate(lots.sort("payer_id", "grant_id"))


def open_accounts(
    previous: dy.DataFrame[CreditStatements],
    previous_lots: dy.DataFrame[CreditLots],
    previous_refills: dy.DataFrame[Refills],
    opened: dy.DataFrame[OpenedGrants],
    payments: dy.DataFrame[Payments],
    refill_invoices: dy.DataFrame[RefillInvoices],
    agreements: dy.DataFrame[RefillAgreements],
    organisations: dy.DataFrame[Organisations],
    period: Period,
) -> OpenedAccounts:
    """Open the account of everyone who pays at some moment of the month or held a balance before.

    b = what the predecessor left of b + refills and top-ups whose invoices are paid + prepaid opening balances that
    enter now; g = the refills whose invoices are open. Of top-ups nothing is expected before they are paid. An issued
    invoice is what its state says; a draft is assumed to be issued and is paid if the payments that name it, less
    refunds, reach what it asks, tax included, in its currency. A payment names an invoice by its number, a monthly one
    by ``<payer_id>/<month>``, too, and comes from those that `may_pay` names.

    What a payer held that pays for nobody at the month's start is opened under its new payer, and booked out and in.

    A payer without a row of its own (``organisation_missing``), or whose currency is not that of its balance or of a
    balance that it takes over (``currency_changed``), gets no account and is returned as a problem.

    Args:
        previous: the predecessor's statements; empty in the first month.
        previous_lots: the predecessor's lots.
        previous_refills: refills that were pending after the predecessor, its own included.
        opened: the grants counted by now, as `enter_grants` returns them.
        payments: what had landed by `as_of`.
        refill_invoices: numbers and states of the invoices of these refills, as far as they are issued.
        agreements: negotiated refills of this month, of payers.
        organisations: every version in force at some moment of the month.
        period: the month to open.
    """
    holders = pl.concat([previous.select("payer_id"), previous_refills.select(payer_id="holder_id")]).unique()
    departed = find_takeovers(first_organisations(organisations)).join(holders, on="payer_id", how="semi")
    takeovers = Takeovers.validate(departed.sort("payer_id"))
    held = taken_over(previous, takeovers)
    refills = taken_over(previous_refills, takeovers, "holder_id")
    known, problems = _known_payers(held, organisations, period)
    refills_of_known = refills.join(known, left_on="holder_id", right_on="payer_id", how="semi")
    ended = _ended(refills_of_known, payments, refill_invoices, may_pay(organisations, refills))
    pending = refills.join(ended, on=REFILL, how="anti")
    moved = takeovers.join(known, left_on="successor_id", right_on="payer_id", how="semi")
    arrivals = pl.concat(
        [
            _arrivals(opened, ended, period).join(known, on="payer_id", how="semi"),
            _transfers(previous, previous_lots, moved),
        ]
    )
    is_prepaid = pl.col("kind").is_in(["settled", "topped_up"]) | pl.col("grant_id").is_in(_prepaid(opened).implode())
    asked = pending.filter(~_IS_TOP_UP)
    accounts = (
        known.join(_sums(held, "prepaid_before_cents", "prepaid_used_cents"), on="payer_id", how="left")
        .join(_sums(arrivals.filter(is_prepaid), "amount_cents"), on="payer_id", how="left")
        .join(_sums(asked.with_columns(payer_id="holder_id"), "refill_cents"), on="payer_id", how="left")
        .join(agreements.select(payer_id="owner_id", custom_refill_cents="refill_cents"), on="payer_id", how="left")
        .join(_history(previous), on="payer_id", how="left")
        .with_columns(
            prepaid_before_cents=pl.sum_horizontal("prepaid_before_cents", "prepaid_used_cents", "amount_cents").cast(
                pl.Int64
            ),
            pending_cents=pl.col("refill_cents").fill_null(0).cast(pl.Int64),
            billed_months_before=pl.col("billed_months_before").fill_null(0),
            estimate_cents=pl.lit(None, pl.Int64),
            estimate_basis=pl.lit("same_as_last_month"),
        )
    )
    return OpenedAccounts(
        CreditAccounts.validate(CreditAccounts.cast(accounts.sort("payer_id"))),
        Refills.validate(pending.sort(REFILL)),
        CreditMovements.validate(CreditMovements.cast(arrivals.sort("payer_id", "kind", "grant_id"))),
        takeovers,
        problems,
    )


def carry_refills(
    pending: dy.DataFrame[Refills],
    statements: dy.DataFrame[CreditStatements],
    drafts: dy.DataFrame[Drafts],
    beside: dy.DataFrame[SpecificDrafts],
) -> dy.DataFrame[Refills]:
    """What is pending after the month: the earlier refills and top-ups, and those that its drafts ask for.

    Args:
        pending: the earlier ones.
        statements: the month's.
        drafts: its monthly invoices.
        beside: its documents beside them, for the credits that they sell.
    """
    asked = drafts.select("payer_id", "billing_month", "payable_cents").join(
        statements.filter(pl.col("refill_cents") > 0).select("payer_id", "refill_cents", "currency"), on="payer_id"
    )
    sold = beside.filter(pl.col("kind").cast(pl.String) == "credits", pl.col("used_credits_cents") > 0)
    new = (
        asked.with_columns(holder_id="payer_id", reference=pl.lit("")),
        sold.with_columns(holder_id="payer_id", refill_cents="used_credits_cents"),
    )
    refills = pl.concat([pending, *(rows.select(Refills.column_names()) for rows in new)])
    return Refills.validate(refills.sort(REFILL))


def basis_hash(
    accounts: dy.DataFrame[CreditAccounts],
    previous: dy.DataFrame[CreditStatements],
    previous_movements: dy.DataFrame[CreditMovements],
    arrivals: dy.DataFrame[CreditMovements],
    takeovers: dy.DataFrame[Takeovers],
) -> dy.DataFrame[BasisHashes]:
    """What each account was settled on, as one hash: if it is the same again, so is the statement's start.

    The sha256 of three tab-separated sections: the predecessor's statement, its movements, and the refills that were
    settled or given up since; the statement and movements of whoever the payer takes over are among them. Tabs and line
    ends cannot occur in ids. Invoice numbers are no part of it, so that a draft which assumed its predecessor's issue
    stays valid when that happens.

    Args:
        accounts: the payers.
        previous: the predecessor's statements.
        previous_movements: the predecessor's movements.
        arrivals: this month's movements; refills and top-ups that arrived or were given up count.
        takeovers: whose credits another payer takes over this month.
    """
    settled = arrivals.filter(pl.col("kind").is_in(["settled", "given_up", "topped_up", "top_up_given_up"]))
    texts = (
        accounts.select("payer_id")
        .sort("payer_id")
        .join(_section("statements", previous, CreditStatements, takeovers), on="payer_id", how="left")
        .join(_section("movements", previous_movements, CreditMovements, takeovers), on="payer_id", how="left")
        .join(_section("settled", settled, CreditMovements, takeovers), on="payer_id", how="left")
        .fill_null("")
        .with_columns(
            text=pl.concat_str(
                *(
                    part
                    for name in ("statements", "movements", "settled")
                    for part in (pl.lit(f"{name}\n"), pl.col(name))
                )
            )
        )
    )
    hashes = [sha256(text.encode()).hexdigest() for text in texts["text"]]
    return BasisHashes.validate(texts.select("payer_id", basis_hash=pl.Series(hashes, dtype=pl.String)))


def _section(name: str, rows: pl.DataFrame, table: type[dy.Schema], takeovers: pl.DataFrame) -> pl.DataFrame:
    line = pl.concat_str(pl.col(table.column_names()).cast(pl.String).fill_null(""), separator="\t") + "\n"
    return (
        taken_over(rows.select("payer_id", line=line), takeovers)
        .sort("payer_id", "line")
        .group_by("payer_id")
        .agg(pl.col("line").str.join(""))
    ).rename({"line": name})


def _known_payers(
    held: pl.DataFrame, organisations: dy.DataFrame[Organisations], period: Period
) -> tuple[pl.DataFrame, dy.DataFrame[ParkedOrganisations]]:
    latest = current_organisations(organisations)
    current = latest.select("currency", payer_id="owner_id", is_closed=is_closed(period)).join(
        find_takeovers(latest), on="payer_id", how="left"
    )
    foreign = (
        held.select("payer_id", balance_currency="currency")
        .join(current, on="payer_id")
        .filter(pl.col("balance_currency") != pl.col("currency"))
        .group_by("payer_id")
        .agg(pl.col("balance_currency").min())
    )
    payers = (
        pl.concat([organisations.select("payer_id"), held.select("payer_id")])
        .unique()
        .join(current, on="payer_id", how="left")
        .join(foreign, on="payer_id", how="left")
    )
    is_missing, has_changed = pl.col("currency").is_null(), pl.col("balance_currency").is_not_null()
    missing = payers.filter(is_missing).select(
        "payer_id",
        reason=pl.lit("organisation_missing"),
        detail=pl.lit("it pays for others or holds a balance but has no organisations row of its own; land one"),
    )
    changed = payers.filter(has_changed).select(
        "payer_id",
        reason=pl.lit("currency_changed"),
        detail=pl.format(
            "its balance is in {}, its organisations row says {}; a balance is never converted, restore the currency",
            "balance_currency",
            "currency",
        ),
    )
    known = payers.filter(~is_missing & ~has_changed)
    columns = ("payer_id", "currency", "is_closed", "successor_id")
    return known.select(columns), _problems(pl.concat([missing, changed]))


def _history(previous: pl.DataFrame) -> pl.DataFrame:
    """How many of a payer's own earlier statements had something due, and what recurred in the last two of them."""
    one, two = pl.col("recurring_1_before_cents"), pl.col("recurring_2_before_cents")
    return previous.select(
        "payer_id",
        billed_months_before=pl.col("billed_months_before") + pl.col("is_due").cast(pl.Int64),
        recurring_1_before_cents=pl.when("is_due").then("recurring_cents").otherwise(one),
        recurring_2_before_cents=pl.when("is_due").then(one).otherwise(two),
    )


def _transfers(previous: pl.DataFrame, previous_lots: pl.DataFrame, takeovers: pl.DataFrame) -> pl.DataFrame:
    """What is left under payers that are taken over, booked out of their accounts and into the new ones."""
    left = pl.concat(
        [
            previous_lots.select("payer_id", "grant_id", amount_cents="left_after_cents"),
            previous.select(
                "payer_id",
                grant_id=pl.format("prepaid of {}", "payer_id"),
                amount_cents=pl.col("prepaid_before_cents") + pl.col("prepaid_used_cents"),
            ),
        ]
    )
    moved = (
        left.filter(pl.col("amount_cents") != 0)
        .join(takeovers, on="payer_id")
        .join(previous.select("payer_id", "currency"), on="payer_id")
        .with_columns(line_id=pl.lit(""))
    )
    columns = CreditMovements.column_names()
    return pl.concat(
        [
            moved.with_columns(kind=pl.lit("transferred_out"), amount_cents=-pl.col("amount_cents")).select(columns),
            moved.with_columns(kind=pl.lit("transferred_in"), payer_id="successor_id").select(columns),
        ]
    )


def may_pay(organisations: pl.DataFrame, refills: pl.DataFrame) -> pl.DataFrame:
    """Whose payments count for a payer's invoices: its own, its organisations' and those of who holds its refills.

    Args:
        organisations: versions of `tables.accounts.Organisations`.
        refills: rows of `tables.credits.Refills`.

    Returns:
        `payer_id` and `owner_id`.
    """
    by_whom = (
        organisations.select("payer_id", "owner_id"),
        refills.select("payer_id", owner_id="payer_id"),
        refills.select("payer_id", owner_id="holder_id"),
    )
    return pl.concat(by_whom).unique()


def _ended(
    refills: pl.DataFrame, payments: pl.DataFrame, refill_invoices: pl.DataFrame, payers: pl.DataFrame
) -> pl.DataFrame:
    """What is pending no more, by `kind`: a refill is `settled` if its invoice is paid, else `given_up`; top-ups alike.

    A draft of a top-up is never paid: payments name it by its number alone.
    """
    key = list(REFILL)
    invoices = refills.select(key).join(refill_invoices, on=key, how="left")
    sign = pl.col("outcome").cast(pl.String).replace_strict({"succeeded": 1, "refunded": -1}, default=0)
    monthly = invoices.filter(~_IS_TOP_UP).select("number", "payer_id", "billing_month")
    received = (
        match_payments(payments, name_documents(monthly), payers)
        .group_by("payer_id", "billing_month", "currency")
        .agg(received=(pl.col("paid_cents").cast(pl.Int128) * sign).sum())
        .with_columns(reference=pl.lit(""))
    )
    state, is_covered = pl.col("state").cast(pl.String), pl.col("received").fill_null(0) >= pl.col("payable_cents")
    is_open = state.is_in([*OPEN]).fill_null(value=False) | (state.is_null() & ~is_covered)
    is_paid = state.fill_null("PAID") == "PAID"
    return (
        refills.join(invoices.select(*key, "state"), on=key, how="left")
        .join(received, on=[*key, "currency"], how="left")
        .filter(~is_open)
        .with_columns(
            kind=pl.when(_IS_TOP_UP)
            .then(pl.when(is_paid).then(pl.lit("topped_up")).otherwise(pl.lit("top_up_given_up")))
            .otherwise(pl.when(is_paid).then(pl.lit("settled")).otherwise(pl.lit("given_up")))
        )
    )


def _arrivals(opened: pl.DataFrame, ended: pl.DataFrame, period: Period) -> pl.DataFrame:
    entered = opened.filter(pl.col("opened_month") == str(period.month), pl.col("granted_cents") > 0)
    openings = entered.select("payer_id", "grant_id", "currency", kind=pl.lit("opening"), amount_cents="granted_cents")
    is_own = pl.col("payer_id") == pl.col("holder_id")
    name = pl.when(_IS_TOP_UP).then("reference").otherwise("billing_month")
    refills = ended.select(
        "currency",
        "kind",
        payer_id="holder_id",
        grant_id=pl.when(is_own).then(name).otherwise(pl.format("{} of {}", name, "payer_id")),
        amount_cents="refill_cents",
    )
    return (
        pl.concat([openings, refills], how="diagonal")
        .with_columns(line_id=pl.lit(""))
        .select(CreditMovements.column_names())
    )


def _prepaid(opened: pl.DataFrame) -> pl.Series:
    return opened.filter(pl.col("kind") == "prepaid")["grant_id"]


def _sums(rows: pl.DataFrame, *amounts: str) -> pl.DataFrame:
    return rows.group_by("payer_id").agg(pl.col(amounts).cast(pl.Int128).sum())


def _named(name: str, remark: str) -> pl.Expr:
    return pl.format("{} ({})", name, remark).str.join(", ")


def _problems(problems: pl.DataFrame) -> dy.DataFrame[ParkedOrganisations]:
    return ParkedOrganisations.validate(problems.sort("payer_id", "reason"))
