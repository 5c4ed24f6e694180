"""How figures are printed. Every function takes exact values and returns text; nothing here decides an amount.

Babel formats Decimals and would round them half to even, so whatever could still be rounded is rounded here first,
half away from zero, and Babel only places separators and symbols. How many decimals an amount has is said by
`rules.currencies`, by which it was counted; Babel knows the habit of cash registers instead (0 for IQD, ISO 4217: 3).
One language for now: `LOCALE`.
"""

from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cache
from zoneinfo import ZoneInfo

from babel import Locale
from babel.numbers import NumberPattern, get_currency_symbol, parse_pattern

from billing_pipeline.rules.currencies import MINOR_DIGITS
from billing_pipeline.rules.rounding import round_decimal, round_half_away

#: The language and region whose separators, symbols and names are printed.
LOCALE = Locale("en", "GB")

_HYPHEN, _MINUS, _NO_BREAK_SPACE = "-", "\N{MINUS SIGN}", "\N{NO-BREAK SPACE}"
_DAY_S, _HOUR_S, _MINUTE_S = 86_400, 3_600, 60
_UNIT_PRICE_PLACES = 5
#: A unit price below that precision still shows this many significant digits.
_UNIT_PRICE_DIGITS = 3
_QUANTITY = parse_pattern("#,##0.#########")
_RATE = parse_pattern("0.####")
_VOLUME_UNITS = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB"))


def format_money(cents: int, currency: str) -> str:
    """An amount in minor units with its symbol first, the sign before both: `€1,234.56`, `JP¥1,235`, `CHF 1.00`."""
    digits = MINOR_DIGITS[currency]
    return _write_money(Decimal(cents).scaleb(-digits), currency, digits, digits)


def format_unit_price(unit_price: Decimal, currency: str) -> str:
    """A unit price to five decimals, or to three significant digits where it is smaller: `€0.04444`, `€0.0000284`.

    Trailing zeros go, but a fraction keeps the currency's digits (`€0.10`), and a whole price none of them (`€8`).
    """
    leading = -unit_price.adjusted() if unit_price else 0
    places = max(_UNIT_PRICE_PLACES, leading + _UNIT_PRICE_DIGITS - 1)
    printed = round_decimal(unit_price, places)
    least = 0 if printed == printed.to_integral_value() else MINOR_DIGITS[currency]
    return _write_money(printed, currency, least, places)


def format_rate(rate_ppm: int) -> str:
    """A rate in millionths: `20 %`, `8.5 %`."""
    return f"{_write(_RATE, Decimal(rate_ppm).scaleb(-4))} %"


def format_share(part: int, whole: int) -> str:
    """What part a positive amount is of a positive whole, to a tenth of a percent: `92.5 %`."""
    return f"{_write(parse_pattern('0.0'), Decimal(round_half_away(1000 * part, whole)).scaleb(-1))} %"


def format_quantity(quantity: Decimal) -> str:
    """A count of units or pieces, without trailing zeros: `1,250`, `2.5`."""
    return _write(_QUANTITY, quantity)


def format_volume(volume_bytes: Fraction) -> str:
    """A volume to three decimals in GB (10^9 bytes), the unit of the prices, or in MB and B below 0.001 GB."""
    magnitude = abs(volume_bytes)
    size, unit = (10**9, "GB") if magnitude >= 10**6 else (10**6, "MB") if magnitude >= 10**3 else (1, "B")
    thousandths = volume_bytes * 1000 / size
    return f"{_write(_QUANTITY, Decimal(round_half_away(*thousandths.as_integer_ratio())).scaleb(-3))} {unit}"


def format_duration(duration_s: int) -> str:
    """A duration from its largest unit down to the second: `2d 07h 26m 26s`, `12m 42s`, `0s`."""
    seconds = abs(duration_s)
    parts = [
        (seconds // _DAY_S, "d"),
        (seconds % _DAY_S // _HOUR_S, "h"),
        (seconds % _HOUR_S // _MINUTE_S, "m"),
        (seconds % _MINUTE_S, "s"),
    ]
    while len(parts) > 1 and parts[0][0] == 0:
        del parts[0]
    (first, unit), *rest = parts
    sign = _MINUS if duration_s < 0 else ""
    return " ".join([f"{sign}{first}{unit}", *(f"{value:02d}{unit}" for value, unit in rest)])


def format_volume_unit(per_bytes: int) -> str:
    """The volume that a unit price buys: `GB`, `100 GB`, `512 B`."""
    size, unit = next(((size, unit) for size, unit in _VOLUME_UNITS if per_bytes % size == 0), (1, "B"))
    count = per_bytes // size
    return unit if count == 1 else f"{count} {unit}"


def format_time_unit(per_seconds: int) -> str:
    """The time that a unit price buys: `h`, `720 h`, `s`."""
    size, unit = (_HOUR_S, "h") if per_seconds % _HOUR_S == 0 else (1, "s")
    count = per_seconds // size
    return unit if count == 1 else f"{count} {unit}"


def format_period(first: date, last: date) -> str:
    """A period as its first and last day, both included."""
    return join_with_dash(first.isoformat(), last.isoformat())


def join_with_dash(*texts: str) -> str:
    """Texts that are not empty, with a dash between them: a range, or a size and its zone."""
    return " \N{EN DASH} ".join(filter(None, texts))


def last_day_before(instant: datetime, zone: ZoneInfo) -> date:
    """The last day that a half-open validity ending at ``instant`` still covers, in the billing time zone."""
    return (instant - timedelta(microseconds=1)).astimezone(zone).date()


def format_country(country: str) -> str:
    """The name of an ISO 3166-1 alpha-2 country; an unknown code is printed as it is."""
    return LOCALE.territories.get(country, country)


def format_iban(iban: str) -> str:
    """An IBAN in groups of four."""
    compact = "".join(iban.split())
    return " ".join(compact[start : start + 4] for start in range(0, len(compact), 4))


def _write_money(amount: Decimal, currency: str, least: int, most: int) -> str:
    return _write(_money_pattern(currency, least, most), amount, currency)


def _write(pattern: NumberPattern, number: Decimal, currency: str | None = None) -> str:
    text = pattern.apply(number, LOCALE, currency=currency, currency_digits=False, group_separator=True)
    return text.replace(_HYPHEN, _MINUS)


@cache
def _money_pattern(currency: str, least: int, most: int) -> NumberPattern:
    """The locale's currency pattern with that many decimals; letters as a symbol are set off by a space."""
    gap = _NO_BREAK_SPACE if get_currency_symbol(currency, LOCALE)[-1].isalpha() else ""
    decimals = "." + "0" * least + "#" * (most - least) if most else ""
    return parse_pattern(f"\N{CURRENCY SIGN}{gap}#,##0{decimals}")
