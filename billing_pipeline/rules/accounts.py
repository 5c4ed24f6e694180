"""From reference rows as they landed to the tables a month works with: dated versions, exact cents, clean texts.

A row whose figures do not fit (more decimals than its currency or a rate can carry) is left out and returned as a
problem of its owner; everything else about a row was checked when it landed.
"""

from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import dataframely as dy
import polars as pl
from stdnum import bic, iban

from billing_pipeline.rules.currencies import MINOR_DIGITS
from billing_pipeline.rules.period import Month, Period, midnight
from billing_pipeline.rules.registrations import normalise_legal_id, normalise_vat_number
from billing_pipeline.tables.accounts import (
    CreditGrants,
    Organisations,
    Owners,
    PaymentMethods,
    Payments,
    RefillAgreements,
    SpendRules,
)
from billing_pipeline.tables.columns import CENTS_MAX
from billing_pipeline.tables.invoices import ParkedOrganisations
from billing_pipeline.tables.usage import OneShots, VendorCharges

#: Control characters, invisible ones that reorder or hide text, and private use: none belongs in a name.
_UNPRINTABLE = r"[\p{Cc}\p{Co}\u{200B}\u{200E}\u{200F}\u{202A}-\u{202E}\u{2060}-\u{2069}\u{FEFF}]"

#: Text columns of an organisation that are printed.
_PRINTED = (
    "name", "legal_name", "address_line1", "address_line2", "postcode", "city", "purchase_order", "cost_centre",
    "discount_reason", "vat_number", "legal_id",
)  # fmt: skip

#: What of an organisation is dated by its usage; everything else is a detail of the invoice's party.
_DATED_BY_USAGE = ("owner_id", "payer_id", "currency", "price_factor", "valid_from")


class Accounts(NamedTuple):
    """The rows of a table, and the owners of rows that do not fit it."""

    rows: pl.DataFrame
    problems: dy.DataFrame[ParkedOrganisations]


def list_owners(landed: pl.DataFrame, zone: ZoneInfo) -> dy.DataFrame[Owners]:
    """Every organisation that has a version, from when on its usage is refused, and whether its texts are safe.

    The last version says so.

    Args:
        landed: the columns of the feed `organisations`, one row per owner and `valid_from`.
        zone: where days are cut: an organisation closes at the end of its last day.
    """
    last = landed.sort("owner_id", "valid_from").unique("owner_id", keep="last", maintain_order=True)
    closes_at = [None if day is None else midnight(day + timedelta(days=1), zone) for day in last["closed_on"]]
    unsafe = pl.any_horizontal(pl.col(name).str.contains(_UNPRINTABLE).fill_null(value=False) for name in _PRINTED)
    return Owners.validate(
        last.select("owner_id", has_unsafe_text=unsafe).with_columns(
            closes_at=pl.Series(closes_at, dtype=pl.Datetime("us", "UTC"))
        )
    )


def version_organisations(landed: pl.DataFrame, period: Period, as_of: datetime) -> Accounts:
    """The versions of each organisation's data in force in the month, as `tables.accounts.Organisations`.

    A version holds until the next one of its owner starts; all are clipped to the month. Who pays, in which currency
    and at which price factor is dated by the usage. Everything else is what an invoice says of its party, so the last
    version of each organisation has it as it is when the invoice is made.

    Args:
        landed: the columns of the feed `organisations`, one row per owner and `valid_from`.
        period: the billed month.
        as_of: when the invoice is made.
    """
    start, end = pl.lit(period.start).dt.cast_time_unit("us"), pl.lit(period.end).dt.cast_time_unit("us")
    until = pl.col("valid_from").shift(-1).over("owner_id", order_by="valid_from").fill_null(end)
    in_force = landed.with_columns(
        valid_to=pl.min_horizontal(until, end), valid_from=pl.max_horizontal("valid_from", start)
    ).filter(pl.col("valid_from") < pl.col("valid_to"))
    versions = _with_details_at(as_of, landed, in_force, end).with_columns(
        *(_printable(name) for name in _PRINTED),
        payer_id=pl.coalesce("payer_id", "owner_id"),
        discount_ppm=_exact("discount_rate", 6).fill_null(0),
        price_factor_ppm=pl.when(pl.col("price_factor").is_null()).then(1_000_000).otherwise(_exact("price_factor", 6)),
    )
    versions = _registered(versions, "vat_number", normalise_vat_number)
    versions = _registered(versions, "legal_id", normalise_legal_id)
    inexact = _is_inexact("discount_rate", 6) | _is_inexact("price_factor", 6)
    problems = versions.filter(inexact).select(
        payer_id="payer_id",
        reason=pl.lit("price_precision"),
        detail=pl.format("organisation {} has a rate of more than 6 decimals; send it rounded", "owner_id"),
    )
    nameless = versions.filter(pl.col("valid_to") == end, pl.col("name") == "").select(
        payer_id="payer_id", reason=pl.lit("name_length"), detail=pl.format("organisation {} has no name", "owner_id")
    )
    versions = versions.join(list_owners(landed, period.zone), on="owner_id", how="left")
    rows = versions.filter(~inexact).select(Organisations.column_names()).sort("owner_id", "valid_from")
    return Accounts(Organisations.validate(Organisations.cast(rows)), _problems([problems, nameless]))


def _with_details_at(as_of: datetime, landed: pl.DataFrame, in_force: pl.DataFrame, end: pl.Expr) -> pl.DataFrame:
    """The versions in force, the last one of each organisation with the details that it has at an instant."""
    dated = (*_DATED_BY_USAGE, "valid_to")
    details = (
        landed.filter((pl.col("valid_from") <= as_of) | (pl.col("valid_from") < end))
        .sort("owner_id", "valid_from")
        .unique("owner_id", keep="last", maintain_order=True)
        .drop(_DATED_BY_USAGE[1:])
    )
    last = in_force.filter(pl.col("valid_to") == end).select(dated).join(details, on="owner_id")
    return pl.concat([in_force.filter(pl.col("valid_to") < end), last.select(in_force.columns)])


def enter_agreements(landed: pl.DataFrame, month: Month) -> Accounts:
    """The refills negotiated for one month, as `tables.accounts.RefillAgreements`, in the currency's minor unit.

    `landed` has the feed's columns and the organisation's `currency`.
    """
    rows, problems = _with_cents(landed.filter(pl.col("billing_month") == str(month)), "amount", "refill_cents")
    return Accounts(RefillAgreements.validate(rows), problems)


def enter_grants(landed: pl.DataFrame) -> Accounts:
    """All granted lots, as `tables.accounts.CreditGrants`; `landed` has the columns of the feed `credit_grants`."""
    rows, problems = _with_cents(landed, "amount", "granted_cents")
    # A list that people write: spaces around its slugs mean nothing, slugs themselves have none.
    slugs = pl.col("slugs").str.to_lowercase().str.replace_all(r"\s*;\s*", ";").str.strip_chars()
    rows = rows.with_columns(_printable("name"), slugs=slugs).sort("grant_id")
    return Accounts(CreditGrants.validate(CreditGrants.cast(rows)), problems)


def enter_payment_methods(landed: pl.DataFrame) -> Accounts:
    """The methods that can be used, as `tables.accounts.PaymentMethods`; `landed` has the feed's columns.

    An IBAN or BIC whose country, length or check digits are wrong, and a debit without its mandate, are problems of the
    owner: no invoice is held back for them, but nothing is collected that way.
    """
    methods = landed.with_columns(
        _printable("holder"),
        iban=pl.col("iban").str.replace_all(" ", "").str.to_uppercase(),
        bic=pl.col("bic").str.replace_all(" ", "").str.to_uppercase(),
    )
    is_debit = pl.col("kind") == "sepa_debit"
    faults = {
        "iban_invalid": _is_none_of(methods["iban"], iban.is_valid) | (is_debit & pl.col("iban").is_null()),
        "bic_invalid": _is_none_of(methods["bic"], bic.is_valid),
        "mandate_missing": is_debit & pl.any_horizontal(pl.col("mandate_id", "mandate_signed_on").is_null()),
    }
    problems = [
        methods.filter(is_faulty).select(
            payer_id="owner_id",
            reason=pl.lit(reason),
            detail=pl.format("payment method {} cannot be used; send it again, corrected", "method_id"),
        )
        for reason, is_faulty in faults.items()
    ]
    rows = methods.filter(~pl.any_horizontal(faults.values())).select(PaymentMethods.column_names()).sort("method_id")
    return Accounts(PaymentMethods.validate(PaymentMethods.cast(rows)), _problems(problems))


def _is_none_of(numbers: pl.Series, is_valid: Callable[[str], bool]) -> pl.Expr:
    """Whether a number is there and is not valid."""
    invalid = [number for number in numbers.drop_nulls().unique().sort() if not is_valid(number)]
    return pl.col(numbers.name).is_in(invalid).fill_null(value=False)


def enter_spend_rules(landed: pl.DataFrame, stored_slugs: Collection[str], period: Period) -> Accounts:
    """The spend rules in force at the month's last instant, as `tables.accounts.SpendRules`.

    A rule that does not fit (an amount or rate of too many decimals, a free quantity of something stored) is left out
    and returned as a problem of its owner; of nobody, with an empty id, if it is public.

    Args:
        landed: rows of the feed `spend_rules`.
        stored_slugs: slugs, in lower case, whose price knows stored volume.
        period: the billed month.
    """
    holds = pl.col("valid_to").is_null() | (pl.col("valid_to") >= period.end)
    in_force = landed.filter(pl.col("valid_from") < period.end, holds).with_columns(
        pl.col("slug").str.to_lowercase(), _printable("name")
    )
    fitting, amounts = _with_cents(in_force, "amount", "amount_cents")
    inexact = _is_inexact("rate", 6)
    rates = fitting.filter(inexact).select(
        payer_id="owner_id",
        reason=pl.lit("price_precision"),
        detail=pl.format("spend rule {} has a rate of more than 6 decimals; send it rounded", "rule_id"),
    )
    is_stored = (pl.col("kind") == "free_quantity") & pl.col("slug").is_in(list(stored_slugs)).fill_null(value=False)
    stored = fitting.filter(is_stored).select(
        payer_id="owner_id",
        reason=pl.lit("spend_rule_shape"),
        detail=pl.format(
            "spend rule {} frees a quantity of {}, which is stored; write it as a tier at price 0", "rule_id", "slug"
        ),
    )
    rows = fitting.filter(~inexact & ~is_stored).with_columns(
        rate_ppm=_exact("rate", 6), quantity=pl.col("quantity").cast(pl.Decimal(38, 0))
    )
    problems = [found.with_columns(pl.col("payer_id").fill_null("")) for found in (amounts, rates, stored)]
    return Accounts(
        SpendRules.validate(SpendRules.cast(rows.sort("rule_id"))),
        _problems(problems),
    )


def enter_payments(landed: pl.DataFrame) -> Accounts:
    """All payments, as `tables.accounts.Payments`; `landed` has the columns of the feed `payments`."""
    rows, problems = _with_cents(landed, "amount", "paid_cents")
    return Accounts(Payments.validate(Payments.cast(rows.sort("payment_id"))), problems)


def enter_one_shots(landed: pl.DataFrame) -> Accounts:
    """One-off charges, as `tables.usage.OneShots`; `landed` has clean rows of the feed `one_shots`."""
    is_small = pl.all_horizontal(_decimals(name).str.len_chars() <= 9 for name in ("quantity", "unit_price"))
    problems = landed.filter(~is_small | _is_inexact("discount_rate", 6)).select(
        payer_id="owner_id",
        reason=pl.lit("price_precision"),
        detail=pl.format("one-shot {} has more decimals than its line can carry (9; rates 6)", "event_id"),
    )
    rows = landed.filter(is_small & ~_is_inexact("discount_rate", 6)).with_columns(
        _printable("description"),
        _printable("sub_description"),
        pl.col("quantity", "unit_price").cast(pl.Decimal(38, 9)),
        performed_at=pl.from_epoch("performed_at", time_unit="us").dt.replace_time_zone("UTC"),
        is_recurring="recurring",
        discount_ppm=_exact("discount_rate", 6).fill_null(0),
        document=pl.when("sells_credits").then(pl.lit("credits")).otherwise("invoice"),
    )
    return Accounts(OneShots.validate(OneShots.cast(rows)), _problems([problems]))


def enter_vendor_charges(landed: pl.DataFrame) -> Accounts:
    """Charges of third parties, as `tables.usage.VendorCharges`; `landed` has clean rows of the feed `vendor_charges`.

    `charged_at` is in microseconds.
    """
    is_small = _decimals("amount").str.len_chars() <= 9
    problems = landed.filter(~is_small).select(
        payer_id="owner_id",
        reason=pl.lit("price_precision"),
        detail=pl.format("vendor charge {} has more decimals than its line can carry (9)", "event_id"),
    )
    rows = landed.filter(is_small).with_columns(
        *(_printable(name) for name in ("resource_name", "vendor", "description")),
        pl.col("amount").cast(pl.Decimal(38, 9)),
        charged_at=pl.from_epoch("charged_at", time_unit="us").dt.replace_time_zone("UTC"),
    )
    return Accounts(VendorCharges.validate(rows), _problems([problems]))


def _with_cents(landed: pl.DataFrame, amount: str, cents: str) -> Accounts:
    """`landed` with decimal text turned into minor units of each row's currency."""
    exact, inexact = pl.lit(None, pl.Int64), pl.lit(value=True)
    for count in sorted(set(MINOR_DIGITS.values())):
        concerned = pl.col("currency").is_in([name for name, digits in MINOR_DIGITS.items() if digits == count])
        exact = pl.when(concerned).then(_exact(amount, count)).otherwise(exact)
        inexact = pl.when(concerned).then(_is_inexact(amount, count)).otherwise(inexact)
    too_large = (exact.abs() > CENTS_MAX).fill_null(value=False)
    with_cents = landed.with_columns(exact.alias(cents), is_inexact=inexact | too_large)
    problems = with_cents.filter("is_inexact").select(
        payer_id=pl.col("owner_id").fill_null(""),
        reason=pl.lit("amount_precision"),
        detail=pl.format(
            "{} {} is no whole number of minor units within bounds; send it again",
            pl.col(amount).fill_null("?"),
            "currency",
        ),
    )
    return Accounts(with_cents.filter(~pl.col("is_inexact")), _problems([problems]))


def _decimals(name: str) -> pl.Expr:
    """What stands after the point, without trailing zeros."""
    return pl.col(name).str.extract(r"\.(\d+)$").fill_null("").str.strip_chars_end("0")


def _exact(name: str, digits: int) -> pl.Expr:
    """Decimal text times 10^digits as a whole number; digits beyond are ignored, `_is_inexact` finds them."""
    whole = pl.col(name).str.extract(r"^-?(\d+)")
    fraction = _decimals(name).str.slice(0, digits).str.pad_end(digits, "0")
    magnitude = (whole + fraction).cast(pl.Int64, strict=False)
    return pl.when(pl.col(name).str.starts_with("-")).then(-magnitude).otherwise(magnitude)


def _is_inexact(name: str, digits: int) -> pl.Expr:
    """Whether decimal text has more than `digits` decimals, or too many digits in all."""
    too_long = pl.col(name).is_not_null() & _exact(name, digits).is_null()
    return ((_decimals(name).str.len_chars() > digits) | too_long).fill_null(value=False)


def _printable(name: str) -> pl.Expr:
    """A text in NFC without characters that cannot be printed, without space around it."""
    return pl.col(name).str.normalize("NFC").str.replace_all(_UNPRINTABLE, "").str.strip_chars()


def _registered(versions: pl.DataFrame, name: str, normalise: Callable[[str, str], str]) -> pl.DataFrame:
    """The versions with a number as its register writes it; an empty one is none."""
    numbers = versions.select("country", name).drop_nulls().unique().sort("country", name)
    written = [normalise(country, number) or None for country, number in numbers.iter_rows()]
    normal = numbers.with_columns(pl.Series("written", written, dtype=pl.String))
    return (
        versions.join(normal, on=["country", name], how="left", maintain_order="left")
        .drop(name)
        .rename({"written": name})
    )


def _problems(found: Iterable[pl.DataFrame]) -> dy.DataFrame[ParkedOrganisations]:
    """Problems as one table, one row per payer and reason."""
    problems = (
        pl.concat(list(found)).group_by("payer_id", "reason").agg(pl.col("detail").min()).sort("payer_id", "reason")
    )
    return ParkedOrganisations.validate(problems)
