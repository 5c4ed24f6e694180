"""Usage that looks wrong but is billed as it stands, and runs that are too long to be believed.

A flag stops nobody: the rules of billing (runs united, values held, names kept) already say what such rows cost. Rows
are counted per owner, with the first one named, so that somebody can ask the meter.
"""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import dataframely as dy
import polars as pl

from billing_pipeline.rules.languages import find_unprinted
from billing_pipeline.rules.period import Period
from billing_pipeline.rules.registrations import (
    has_french_registrations,
    has_vat_numbers,
    is_french_registration,
    is_vat_number_of,
)
from billing_pipeline.tables.accounts import Organisations, Owners
from billing_pipeline.tables.usage import UsageFlags

#: No resource runs longer than this in one piece.
LONGEST_RUN = timedelta(days=366)
#: A value is a spike above this multiple of what the resource moved before...
SPIKE_FACTOR = 10
#: ...where "before" is nine tenths of so many values, and at least so many.
_TRAILING, _FEWEST = 100, 10

#: Letters of other alphabets that look like Latin ones.
_LOOKS_LIKE = str.maketrans(
    "аеорсухіѕјкмнтвһӏαοερτυικνηωβı01",
    "aeopcyxisjkmhtbhlaoeptuikvnwbiol",
)


@dataclass(frozen=True)
class FlagLimits:
    """From when on something is flagged."""

    #: An open run that started longer ago than this at the period's end.
    stale_open: timedelta
    #: A stored value that is held longer than this.
    stale_after: timedelta


def flag_runs(runs: pl.DataFrame, meters: pl.DataFrame, period: Period, limits: FlagLimits) -> pl.DataFrame:
    """Open runs that started too long ago (``stale_open``).

    Args:
        runs: `meter_id`, `started_us`, `stopped_us` (null: open).
        meters: rows of `tables.usage.Meters`.
        period: the billed month.
        limits: when an open run is stale.

    Returns:
        Rows of `tables.usage.UsageFlags` without `feed`.
    """
    open_for = pl.lit(period.end_us) - pl.col("started_us")
    stale = runs.filter(pl.col("stopped_us").is_null(), open_for > limits.stale_open // timedelta(microseconds=1))
    return _count(
        stale.with_columns(reason=pl.lit("stale_open")).join(meters, on="meter_id"),
        "resource_id",
        pl.format("open for {} days at most", open_for.max() // 86_400_000_000),
    )


def too_long_runs(runs: pl.DataFrame, meters: pl.DataFrame) -> pl.DataFrame:
    """Owners of runs that are longer than 366 days (``too_long``): `owner_id`, `reason`, `detail`; they are parked."""
    length = pl.col("stopped_us") - pl.col("started_us")
    found = runs.filter(length > LONGEST_RUN // timedelta(microseconds=1)).with_columns(reason=pl.lit("too_long"))
    days = pl.format("{} days; correct the row, or report the run in parts", length.max() // 86_400_000_000)
    return _count(found.join(meters, on="meter_id"), "resource_id", days).select("owner_id", "reason", "detail")


def flag_samples(samples: pl.DataFrame, meters: pl.DataFrame, period: Period, limits: FlagLimits) -> pl.DataFrame:
    """Stored values that are held for longer than anyone believes (``gap``); returns as `flag_runs`.

    Args:
        samples: `meter_id`, `sampled_us`, `bytes`; the last one before the month included.
        meters: rows of `tables.usage.Meters`.
        period: the billed month.
        limits: how long a value may be held.
    """
    # A value holds until the next one of the same resource and slug, whoever owns it then.
    series = meters.select("meter_id", series=pl.struct("resource_id", "slug").rank("dense"))
    following = pl.col("sampled_us").shift(-1).over("series", order_by="sampled_us")
    held_us = pl.min_horizontal(following.fill_null(period.end_us), period.end_us) - pl.col("sampled_us")
    held = (
        samples.join(series, on="meter_id")
        .with_columns(held_us=held_us, reason=pl.lit("gap"))
        .filter(pl.col("bytes") > 0, pl.col("held_us") > limits.stale_after // timedelta(microseconds=1))
    )
    return _count(
        held.join(meters, on="meter_id"),
        "resource_id",
        pl.format("held for {} days at most", pl.col("held_us").max() // 86_400_000_000),
    )


def flag_deltas(deltas: pl.DataFrame, meters: pl.DataFrame) -> pl.DataFrame:
    """Volumes above ten times nine tenths of those before them (``spike``), as a counter's reading sent as its change.

    Args:
        deltas: `meter_id`, `started_us`, `bytes`.
        meters: rows of `tables.usage.Meters`.

    Returns:
        As `flag_runs`.
    """
    usual = (
        pl.col("bytes")
        .shift(1)
        .rolling_quantile(0.9, interpolation="lower", window_size=_TRAILING, min_samples=_FEWEST)
        .over("meter_id", order_by="started_us")
    )
    spikes = deltas.with_columns(usual=usual, reason=pl.lit("spike")).filter(
        pl.col("bytes") > SPIKE_FACTOR * pl.col("usual").clip(lower_bound=1)
    )
    return _count(
        spikes.join(meters, on="meter_id"), "resource_id", pl.format("up to {} bytes at once", pl.col("bytes").max())
    )


def flag_names(organisations: dy.DataFrame[Organisations], owners: dy.DataFrame[Owners]) -> pl.DataFrame:
    """Organisations whose names differ, but not to the eye (``name_confusable``), and those whose texts held signs that
    hide or turn text around (``name_unsafe``; they are taken out); returns as `flag_runs`.
    """
    names = organisations.select("owner_id", "name").unique().sort("name", "owner_id")
    looks = pl.Series("looks", [appearance(name) for name in names["name"]], dtype=pl.String)
    others = pl.col("name").n_unique().over("looks")
    confusable = names.with_columns(looks).filter(others > 1).with_columns(reason=pl.lit("name_confusable"))
    unsafe = owners.filter("has_unsafe_text").join(names, on="owner_id").with_columns(reason=pl.lit("name_unsafe"))
    return pl.concat(
        [
            _count(confusable, "name", pl.lit("looks like the name of another organisation")),
            _count(unsafe, "name", pl.lit("signs that cannot be printed were taken out")),
        ]
    )


def flag_registrations(organisations: dy.DataFrame[Organisations]) -> pl.DataFrame:
    """Numbers whose shape or check digits are wrong: VAT numbers of member states (``vat_number_invalid``) and French
    SIREN or SIRET (``legal_id_invalid``); returns as `flag_runs`.

    Whose VAT depends on the number is parked besides: see `rules.tax`.
    """
    return pl.concat(
        [
            _count(
                _wrong(organisations, "vat_number", has_vat_numbers, is_vat_number_of).with_columns(
                    reason=pl.lit("vat_number_invalid")
                ),
                "vat_number",
                pl.lit("no VAT number of the country; correct it"),
            ),
            _count(
                _wrong(
                    organisations,
                    "legal_id",
                    has_french_registrations,
                    lambda _, number: is_french_registration(number),
                ).with_columns(reason=pl.lit("legal_id_invalid")),
                "legal_id",
                pl.lit("neither SIREN nor SIRET; correct it"),
            ),
        ]
    )


def flag_languages(organisations: dy.DataFrame[Organisations]) -> pl.DataFrame:
    """Organisations whose language is not printed (``language_unknown``): they read English; returns as `flag_runs`."""
    unprinted = organisations.filter(pl.col("language").is_in(find_unprinted(organisations["language"].unique())))
    wanted = unprinted.select("owner_id", "language", reason=pl.lit("language_unknown")).unique()
    return _count(wanted, "language", pl.lit("documents are printed in English"))


def _wrong(
    organisations: pl.DataFrame,
    name: str,
    is_known: Callable[[str], bool],
    is_valid: Callable[[str, str], bool],
) -> pl.DataFrame:
    """Owners with a number that cannot be right: one row per number."""
    told = organisations.select("owner_id", "country", name).drop_nulls().unique().sort("owner_id", "country", name)
    wrong = [is_known(country) and not is_valid(country, number) for _, country, number in told.iter_rows()]
    return told.filter(pl.Series(wrong, dtype=pl.Boolean))


def appearance(name: str) -> str:
    """What a name looks like: without accents and case, letters of other alphabets as the Latin ones they resemble."""
    bare = "".join(sign for sign in unicodedata.normalize("NFKD", name) if not unicodedata.combining(sign))
    return " ".join(bare.casefold().translate(_LOOKS_LIKE).split())


def collect_flags(by_feed: dict[str, list[pl.DataFrame]]) -> dy.DataFrame[UsageFlags]:
    """All flags of a month with their feeds."""
    flags = [rows.with_columns(feed=pl.lit(feed)) for feed, found in by_feed.items() for rows in found]
    columns = UsageFlags.column_names()
    frames = [rows.select(columns) for rows in flags] or [UsageFlags.create_empty()]
    return UsageFlags.validate(pl.concat(frames).sort("feed", "owner_id", "reason"))


def _count(found: pl.DataFrame, example: str, what: pl.Expr) -> pl.DataFrame:
    """One row per owner and reason: how many rows, one of them by name, and what about them."""
    return found.group_by("owner_id", "reason").agg(
        detail=pl.format("{} rows, e.g. {}: {}", pl.len(), pl.col(example).min(), what),
        rows=pl.len().cast(pl.Int64),
    )
