"""How figures are printed, in the language that is being printed (`languages`); examples are English, then French.

Every function takes exact values and returns text; nothing here decides an amount.

Babel formats Decimals and would round them half to even, so whatever could still be rounded is rounded here first,
half away from zero, and Babel only places separators and symbols. How many decimals an amount has is said by
`rules.currencies`, by which it was counted; Babel knows the habit of cash registers instead (0 for IQD, ISO 4217: 3).
Words and patterns are texts like others; English dates are those of ISO 8601, which its readers everywhere understand.
"""

from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cache
from zoneinfo import ZoneInfo

from babel.dates import parse_pattern as parse_date_pattern
from babel.numbers import NumberPattern, get_currency_symbol, parse_pattern

from billing_pipeline.documents.languages import printed_language, printed_locale
from billing_pipeline.documents.texts import TEXTS
from billing_pipeline.rules.currencies import MINOR_DIGITS
from billing_pipeline.rules.rounding import round_decimal, round_half_away

_HYPHEN, _MINUS, _NO_BREAK_SPACE = "-", "\N{MINUS SIGN}", "\N{NO-BREAK SPACE}"
_CURRENCY = "\N{CURRENCY SIGN}"
_DAY_S, _HOUR_S, _MINUTE_S = 86_400, 3_600, 60
_UNIT_PRICE_PLACES = 5
#: A unit price below that precision still shows this many significant digits.
_UNIT_PRICE_DIGITS = 3
_QUANTITY = parse_pattern("#,##0.#########")
_RATE = parse_pattern("0.####")
_VOLUME_UNITS = ((10**12, "terabyte"), (10**9, "gigabyte"), (10**6, "megabyte"), (10**3, "kilobyte"))


def format_money(cents: int, currency: str) -> str:
    """An amount in minor units with its symbol, the sign before both: `€1,234.56`, `CHF 1.00`; `1 234,56 €`."""
    digits = MINOR_DIGITS[currency]
    return _write_money(Decimal(cents).scaleb(-digits), currency, digits, digits)


def format_unit_price(unit_price: Decimal, currency: str) -> str:
    """A unit price to five decimals, or to three significant digits where it is smaller: `€0.04444`; `0,0000284 €`.

    Trailing zeros go, but a fraction keeps the currency's digits (`€0.10`), and a whole price none of them (`€8`).
    """
    leading = -unit_price.adjusted() if unit_price else 0
    places = max(_UNIT_PRICE_PLACES, leading + _UNIT_PRICE_DIGITS - 1)
    printed = round_decimal(unit_price, places)
    least = 0 if printed == printed.to_integral_value() else MINOR_DIGITS[currency]
    return _write_money(printed, currency, least, places)


def format_rate(rate_ppm: int) -> str:
    """A rate in millionths: `20 %`, `8.5 %`; `8,5 %`."""
    return TEXTS["percentage"].format(number=_write(_RATE, Decimal(rate_ppm).scaleb(-4)))


def format_share(part: int, whole: int) -> str:
    """What part a positive amount is of a positive whole, to a tenth of a percent: `92.5 %`; `92,5 %`."""
    share = Decimal(round_half_away(1000 * part, whole)).scaleb(-1)
    return TEXTS["percentage"].format(number=_write(parse_pattern("0.0"), share))


def format_quantity(quantity: Decimal) -> str:
    """A count of units or pieces, without trailing zeros: `1,250`, `2.5`; `1 250`, `2,5`."""
    return _write(_QUANTITY, quantity)


def format_count(count: int) -> str:
    """How many of something that is never half: `1,250`; `1 250`."""
    return format_quantity(Decimal(count))


def is_singular(quantity: Decimal) -> bool:
    """Whether so many are one: in English 1; in French everything below 2."""
    magnitude = abs(quantity)
    counted = Decimal(int(magnitude)) if magnitude == int(magnitude) else magnitude.normalize()
    return printed_locale().plural_form(counted) == "one"


def format_volume(volume_bytes: Fraction) -> str:
    """A volume to three decimals in GB (10^9 bytes), the unit of the prices, or in MB and B below 0.001 GB."""
    magnitude = abs(volume_bytes)
    size, unit = (
        (10**9, "gigabyte") if magnitude >= 10**6 else (10**6, "megabyte") if magnitude >= 10**3 else (1, "byte")
    )
    thousandths = volume_bytes * 1000 / size
    number = Decimal(round_half_away(*thousandths.as_integer_ratio())).scaleb(-3)
    return TEXTS["measured"].format(number=_write(_QUANTITY, number), unit=TEXTS[unit])


def format_duration(duration_s: int) -> str:
    """A duration from its largest unit down to the second: `2d 07h 26m 26s`, `0s`; `2 j 7 h 26 min 26 s`."""
    seconds = abs(duration_s)
    parts = [
        (seconds // _DAY_S, "days"),
        (seconds % _DAY_S // _HOUR_S, "hours"),
        (seconds % _HOUR_S // _MINUTE_S, "minutes"),
        (seconds % _MINUTE_S, "seconds"),
    ]
    while len(parts) > 1 and parts[0][0] == 0:
        del parts[0]
    (first, unit), *rest = parts
    sign = _MINUS if duration_s < 0 else ""
    later = [TEXTS[unit].format(count=TEXTS["later_count"].format(count=value)) for value, unit in rest]
    return " ".join([f"{sign}{TEXTS[unit].format(count=first)}", *later])


def format_volume_unit(per_bytes: int) -> str:
    """The volume that a unit price buys: `GB`, `100 GB`, `512 B`; `Go`, `100 Go`, `512 o`."""
    size, unit = next(((size, unit) for size, unit in _VOLUME_UNITS if per_bytes % size == 0), (1, "byte"))
    return _bought(per_bytes // size, TEXTS[unit])


def format_time_unit(per_seconds: int) -> str:
    """The time that a unit price buys: `h`, `720 h`, `s`."""
    size, unit = (_HOUR_S, "h") if per_seconds % _HOUR_S == 0 else (1, "s")
    return _bought(per_seconds // size, unit)


def format_period(first: date, last: date) -> str:
    """A period as its first and last day, both included."""
    return join_with_dash(format_day(first), format_day(last))


def format_day(day: date) -> str:
    """A day where it stands alone: `2026-10-01`; `01/10/2026`."""
    return _write_date("day_pattern", day)


def format_day_in_words(day: date) -> str:
    """A day within a sentence: `2026-10-01`; `1er octobre 2026`, `2 octobre 2026`."""
    return _write_date("first_in_words_pattern" if day.day == 1 else "day_in_words_pattern", day)


def format_month(month: str) -> str:
    """A month, given as `2026-10`, within a sentence: `2026-10`; `octobre 2026`."""
    return _write_date("month_pattern", date.fromisoformat(f"{month}-01"))


def format_instant(instant: datetime, zone: ZoneInfo) -> str:
    """An instant in a time zone, to the second: `2026-10-01 09:30:00`; `01/10/2026 09:30:00`."""
    return _write_date("instant_pattern", instant.astimezone(zone))


def join_with_dash(*texts: str) -> str:
    """Texts that are not empty, with a dash between them: a range, or a size and its zone."""
    return " \N{EN DASH} ".join(filter(None, texts))


def last_day_before(instant: datetime, zone: ZoneInfo) -> date:
    """The last day that a half-open validity ending at ``instant`` still covers, in the billing time zone."""
    return (instant - timedelta(microseconds=1)).astimezone(zone).date()


def format_country(country: str) -> str:
    """The name of an ISO 3166-1 alpha-2 country: `Germany`; `Allemagne`. An unknown code is printed as it is."""
    return printed_locale().territories.get(country, country)


def format_iban(iban: str) -> str:
    """An IBAN in groups of four."""
    compact = "".join(iban.split())
    return " ".join(compact[start : start + 4] for start in range(0, len(compact), 4))


def _bought(count: int, unit: str) -> str:
    return unit if count == 1 else TEXTS["measured"].format(number=format_count(count), unit=unit)


def _write_money(amount: Decimal, currency: str, least: int, most: int) -> str:
    return _write(_money_pattern(printed_language(), currency, least, most), amount, currency)


def _write(pattern: NumberPattern, number: Decimal, currency: str | None = None) -> str:
    text = pattern.apply(number, printed_locale(), currency=currency, currency_digits=False, group_separator=True)
    return text.replace(_HYPHEN, _MINUS)


def _write_date(pattern: str, day: date) -> str:
    return parse_date_pattern(TEXTS[pattern]).apply(day, printed_locale())


@cache
def _money_pattern(language: str, currency: str, least: int, most: int) -> NumberPattern:
    """The pattern of the language that is being printed, with that many decimals.

    Letters that stand for a symbol are set off by a space where the symbol comes first.
    """
    del language  # for the cache
    locale = printed_locale()
    decimals = "." + "0" * least + "#" * (most - least) if most else ""
    pattern = locale.currency_formats["standard"].pattern.replace(".00", decimals)
    gap = _NO_BREAK_SPACE if get_currency_symbol(currency, locale)[-1].isalpha() else ""
    return parse_pattern(pattern.replace(f"{_CURRENCY}#", f"{_CURRENCY}{gap}#"))
