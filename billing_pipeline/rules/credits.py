"""The credit statement: free lots pay first, the prepaid balance next, and the refill covers the estimate.

Letters are those printed on the invoice: a, b and A open the month, c, d and e leave the balance, f is the estimate,
g what is still pending, h the refill, B and i close it. Shortfall (fees that no credit covered) is invoiced at once;
the balance never goes below zero.
"""

from typing import NamedTuple

import dataframely as dy
import polars as pl

from billing_pipeline.rules.period import Period
from billing_pipeline.tables.credits import (
    CreditAccounts,
    CreditLots,
    CreditMovements,
    CreditStatements,
    Fees,
    OpenLots,
)


class AccountMissing(ValueError):
    """Fees or lots belong to a payer without an account, so that they would be settled by nobody."""


class Settlement(NamedTuple):
    """A month's credits, settled."""

    statements: dy.DataFrame[CreditStatements]
    lots: dy.DataFrame[CreditLots]
    #: Uses, expiry and refills; what opened the month is booked by `rules.balances`.
    movements: dy.DataFrame[CreditMovements]


def settle_credits(
    fees: dy.DataFrame[Fees],
    lots: dy.DataFrame[OpenLots],
    accounts: dy.DataFrame[CreditAccounts],
    period: Period,
) -> Settlement:
    """Settle the fees of every account against its credits; an account without fees gets a statement, too.

    Free lots pay in the order priority, expiry (none last), start, id, each the lines whose slug it may pay; then the
    prepaid balance pays. Lines that fewer scoped lots may pay are paid first, so that a lot for everything leaves to a
    narrow one what that may pay; then by slug and id. A lot valid at any moment of the period pays the whole period;
    one that a credit note gave back after its end pays nothing. What is left of a lot lapses if it ends by the period's
    end, or if the organisation closed. The statement of a payer
    that closed or whose bills another one pays by the period's end is final: nothing is estimated or refilled.

    Args:
        fees: the lines of these payers, after discounts, none below zero.
        lots: what free lots hold when the period opens.
        accounts: one row per payer to settle.
        period: the billed month.

    Raises:
        AccountMissing: a fee or lot belongs to a payer without an account.
    """
    _require_accounts(fees, lots, accounts)
    valid = lots.filter(pl.col("expires_at").is_null() | (pl.col("expires_at") > period.start))
    unpaid = (
        fees.filter(pl.col("fee_cents") > 0)
        .select("payer_id", "line_id", "slug", unpaid_cents=pl.col("fee_cents").cast(pl.Int128))
        .join(_scopes(valid), on=["payer_id", "slug"], how="left")
        .sort("payer_id", pl.col("scoped_lots").fill_null(0), "slug", "line_id")
        .drop("scoped_lots")
    )
    free_uses = []
    for lots_of_rank in _by_rank(valid):
        uses = _pay(unpaid, lots_of_rank)
        unpaid = _less(unpaid, uses)
        free_uses.append(uses)
    free_used = pl.concat([_no_use(unpaid), *free_uses])
    prepaid_used = _pay(unpaid, _as_lots(accounts))

    settled_lots = _settle_lots(lots, free_used, accounts, period)
    statements = _state(fees, settled_lots, prepaid_used, accounts)
    movements = _book(statements, settled_lots, free_used, prepaid_used, period)
    return Settlement(statements, settled_lots, movements)


def _require_accounts(fees: pl.DataFrame, lots: pl.DataFrame, accounts: pl.DataFrame) -> None:
    payers = pl.concat([fees.select("payer_id"), lots.select("payer_id")])
    missing = payers.join(accounts, on="payer_id", how="anti")["payer_id"].unique().sort()
    if not missing.is_empty():
        message = (
            f"{missing.len()} payers have fees or free credits but no credit account, the first is {missing[0]}; "
            "open their accounts, or leave out what belongs to parked organisations"
        )
        raise AccountMissing(message)


def _by_rank(lots: pl.DataFrame) -> list[pl.DataFrame]:
    """The first lots of all payers, then their second ones, and so on: a payer has one lot in each frame."""
    ranked = (
        lots.sort("payer_id", "priority", "expires_at", "starts_at", "grant_id", nulls_last=True)
        .with_columns(rank=pl.int_range(pl.len()).over("payer_id"))
        .select("rank", "payer_id", "grant_id", "slugs", pl.col("left_before_cents").cast(pl.Int128))
        .sort("rank")
    )
    return ranked.partition_by("rank", maintain_order=True, include_key=False)


def _scopes(lots: pl.DataFrame) -> pl.DataFrame:
    """How many scoped lots of a payer may pay a slug; slugs that none names are left out."""
    return (
        lots.filter(pl.col("slugs").is_not_null())
        .select("payer_id", slug=pl.col("slugs").str.split(";"))
        .explode("slug")
        .group_by("payer_id", "slug")
        .agg(scoped_lots=pl.len())
    )


def _as_lots(accounts: pl.DataFrame) -> pl.DataFrame:
    """The prepaid balances as lots that pay everything."""
    return accounts.select(
        "payer_id",
        grant_id=pl.lit("prepaid"),
        slugs=pl.lit(None, pl.String),
        left_before_cents=pl.col("prepaid_before_cents").cast(pl.Int128),
    )


def _no_use(unpaid: pl.DataFrame) -> pl.DataFrame:
    return unpaid.clear().select("payer_id", "line_id", grant_id="line_id", used_cents="unpaid_cents")


def _pay(unpaid: pl.DataFrame, lots: pl.DataFrame) -> pl.DataFrame:
    """What one lot per payer pays of each line that it may pay, as positive amounts, in the order of the lines."""
    may_pay = pl.col("slugs").is_null() | pl.col("slugs").str.split(";").list.contains(pl.col("slug"))
    unpaid_before = pl.col("unpaid_cents").cum_sum().over("payer_id") - pl.col("unpaid_cents")
    return (
        unpaid.join(lots, on="payer_id", maintain_order="left")
        .filter(may_pay)
        .with_columns(left_cents=pl.col("left_before_cents") - unpaid_before)
        .filter(pl.col("left_cents") > 0)
        .select("payer_id", "line_id", "grant_id", used_cents=pl.min_horizontal("left_cents", "unpaid_cents"))
    )


def _less(unpaid: pl.DataFrame, uses: pl.DataFrame) -> pl.DataFrame:
    """What is still unpaid; fully paid lines disappear."""
    return (
        unpaid.join(uses.select("line_id", "used_cents"), on="line_id", how="left", maintain_order="left")
        .with_columns(unpaid_cents=pl.col("unpaid_cents") - pl.col("used_cents").fill_null(0))
        .filter(pl.col("unpaid_cents") > 0)
        .drop("used_cents")
    )


def _settle_lots(
    lots: pl.DataFrame, free_used: pl.DataFrame, accounts: pl.DataFrame, period: Period
) -> dy.DataFrame[CreditLots]:
    lapses = (pl.col("expires_at") <= period.end).fill_null(value=False) | pl.col("is_closed")
    unused = pl.col("left_before_cents") + pl.col("used_cents")
    settled = (
        lots.join(accounts.select("payer_id", "is_closed"), on="payer_id")
        .join(free_used.group_by("grant_id").agg(pl.col("used_cents").sum()), on="grant_id", how="left")
        .with_columns(used_cents=-pl.col("used_cents").fill_null(0).cast(pl.Int64))
        .with_columns(expired_cents=pl.when(lapses).then(-unused).otherwise(0))
        .with_columns(left_after_cents=unused + pl.col("expired_cents"))
    )
    return CreditLots.validate(settled.sort("payer_id", "grant_id"))


def _state(
    fees: pl.DataFrame, lots: pl.DataFrame, prepaid_used: pl.DataFrame, accounts: pl.DataFrame
) -> dy.DataFrame[CreditStatements]:
    """One statement per account; sums are taken in 128 bits and fit 64 again or raise."""
    wide = pl.selectors.ends_with("_cents").cast(pl.Int128)
    charged = (
        fees.with_columns(wide)
        .group_by("payer_id")
        .agg(
            fees_cents=pl.col("fee_cents").sum(),
            recurring_cents=(pl.col("fee_cents") - pl.col("correction_cents")).filter(pl.col("is_recurring")).sum(),
        )
    )
    held = (
        lots.with_columns(wide)
        .group_by("payer_id")
        .agg(
            free_before_cents=pl.col("left_before_cents").sum(),
            free_used_cents=pl.col("used_cents").sum(),
            free_expired_cents=pl.col("expired_cents").sum(),
        )
    )
    spent = prepaid_used.group_by("payer_id").agg(prepaid_used_cents=_minus(pl.col("used_cents").sum()))
    is_final = pl.col("is_closed") | pl.col("successor_id").is_not_null()
    is_custom = pl.col("custom_refill_cents").is_not_null() & ~is_final
    estimate = pl.coalesce("estimate_cents", "recurring_cents")
    optional = ("custom_refill_cents", "estimate_cents", "recurring_1_before_cents", "recurring_2_before_cents")
    statements = (
        accounts.with_columns(wide)
        .join(charged, on="payer_id", how="left")
        .join(held, on="payer_id", how="left")
        .join(spent, on="payer_id", how="left")
        .with_columns(has_line=pl.col("fees_cents").is_not_null())
        .with_columns(pl.selectors.ends_with("_cents").exclude(optional).fill_null(0))
        .with_columns(
            balance_before_cents=pl.col("free_before_cents") + pl.col("prepaid_before_cents"),
            forecast_cents=pl.when(is_final).then(0).otherwise(_minus(estimate)),
            estimate_basis=pl.when(is_final).then(pl.lit("final")).otherwise(pl.col("estimate_basis").cast(pl.String)),
            is_custom_refill=is_custom,
        )
        .with_columns(refill_cents=pl.when(is_custom).then("custom_refill_cents").otherwise(_lacking()))
        .with_columns(balance_after_cents=_balance() + pl.col("refill_cents"))
        .with_columns(
            change_cents=pl.col("balance_after_cents") - pl.col("balance_before_cents"),
            is_due=pl.col("has_line") | (pl.col("balance_before_cents") > 0) | (pl.col("refill_cents") > 0),
        )
        .with_columns(pl.selectors.ends_with("_cents").cast(pl.Int64))
    )
    # Not validated: whose formulas do not hold is parked, and the others are billed (`rules.equations`).
    return CreditStatements.cast(statements.sort("payer_id"))


def _balance() -> pl.Expr:
    """A + c + d + e."""
    return pl.sum_horizontal("balance_before_cents", "free_used_cents", "free_expired_cents", "prepaid_used_cents")


def _lacking() -> pl.Expr:
    """h = -(A + c + d + e + f + g), never below zero: a surplus stays as credit."""
    return _minus(_balance() + pl.col("forecast_cents") + pl.col("pending_cents")).clip(lower_bound=0)


def _minus(amount: pl.Expr) -> pl.Expr:
    """The amount with the other sign; Polars cannot negate 128 bits."""
    return 0 - amount


def _book(
    statements: pl.DataFrame,
    lots: pl.DataFrame,
    free_used: pl.DataFrame,
    prepaid_used: pl.DataFrame,
    period: Period,
) -> dy.DataFrame[CreditMovements]:
    def movements(kind: str, rows: pl.DataFrame, amount: pl.Expr) -> pl.DataFrame:
        return rows.select("payer_id", "grant_id", "line_id", kind=pl.lit(kind), amount_cents=amount.cast(pl.Int64))

    no_line = pl.lit("").alias("line_id")
    refills = statements.with_columns(no_line, grant_id=pl.lit(str(period.month)))
    booked = pl.concat(
        [
            movements("free_used", free_used, _minus(pl.col("used_cents"))),
            movements("free_expired", lots.with_columns(no_line), pl.col("expired_cents")),
            movements("prepaid_used", prepaid_used, _minus(pl.col("used_cents"))),
            movements("refill", refills, pl.col("refill_cents")),
        ]
    ).filter(pl.col("amount_cents") != 0)
    with_currency = booked.join(statements.select("payer_id", "currency"), on="payer_id")
    return CreditMovements.validate(CreditMovements.cast(with_currency.sort("payer_id", "kind", "grant_id", "line_id")))
