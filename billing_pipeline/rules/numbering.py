"""What a document's number looks like. That numbers have no gap is the books' business."""

import re
from string import Formatter

#: Invoice numbers unless the settings say otherwise.
NUMBER_FORMAT = "{series}-{year}-{serial:06d}"

# What e-invoicing formats and file names carry alike.
_NUMBER = re.compile(r"[A-Za-z0-9+_-]{1,35}", re.ASCII)
_FIELDS = {"series", "year", "serial"}


class MalformedNumber(ValueError):
    """A number that e-invoicing formats do not carry."""


def check_format(number_format: str) -> str:
    """The format, if every series, year and serial gets a number of its own by it.

    Raises:
        MalformedNumber: it lacks `{series}`, `{year}` or `{serial}`, holds another field, or makes no valid number.
    """
    try:
        fields = {name for _, name, _, _ in Formatter().parse(number_format) if name is not None}
    except ValueError:
        fields = set()
    if fields != _FIELDS:
        message = (
            f"{number_format!r} is no format of numbers; it needs {{series}}, {{year}} and {{serial}} and nothing "
            f"else in braces, such as {NUMBER_FORMAT}"
        )
        raise MalformedNumber(message)
    format_number(number_format, "A", 2026, 1)
    return number_format


def format_number(number_format: str, series: str, year: int, serial: int) -> str:
    """The number of a document.

    Raises:
        MalformedNumber: it would hold other characters than `A-Z a-z 0-9 + _ -`, or more than 35.
    """
    try:
        number = number_format.format(series=series, year=year, serial=serial)
    except (ValueError, LookupError, AttributeError) as problem:
        message = f"{number_format!r} cannot be filled in: {problem}; write it as {NUMBER_FORMAT}"
        raise MalformedNumber(message) from problem
    if not series or not _NUMBER.fullmatch(number):
        message = (
            f"{number!r} cannot be a number; series {series!r} and format {number_format} may make 1 to 35 letters, "
            "digits, '+', '_', '-'"
        )
        raise MalformedNumber(message)
    return number
