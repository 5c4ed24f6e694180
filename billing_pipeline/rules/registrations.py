"""The numbers under which parties are registered: how they are written, and whether they can be right.

Shape and check digits are checked (python-stdnum). Whether a number was ever given out, and to whom, only the
registers know (VIES, SIRENE): that is not asked here.
"""

from stdnum.eu import vat
from stdnum.fr import siren, siret

#: ISO 3166-1 alpha-2 of the member states.
EU = frozenset("AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK".split())  # noqa: SIM905 - literals would take a page

#: A SIRET has five more: the number of an establishment.
SIREN_DIGITS = 9

#: Codes of the places whose VAT numbers are French, and whose businesses are in the French register.
_FRENCH_VAT = frozenset({"FR", "MC", "GP", "MQ", "GF", "RE", "YT"})
_FRENCH_REGISTER = _FRENCH_VAT - {"MC"} | {"BL", "MF", "PM"}


def has_vat_numbers(country: str) -> bool:
    """Whether the VAT numbers of a country (ISO 3166-1 alpha-2) are those of a member state, so can be checked."""
    return country in EU or country in _FRENCH_VAT


def is_vat_number_of(country: str, number: str) -> bool:
    """Whether this can be a VAT number of a member state (those of Monaco and French overseas start with `FR`).

    Args:
        country: ISO 3166-1 alpha-2.
        number: with its prefix, which is the country but for Greece (`EL`); case, spaces and points do not matter.
    """
    prefix = {"GR": "EL"}.get(country, "FR" if country in _FRENCH_VAT else country)
    return has_vat_numbers(country) and vat.is_valid(number) and vat.compact(number).startswith(prefix)


def has_french_registrations(country: str) -> bool:
    """Whether the businesses of a country (ISO 3166-1 alpha-2) are registered under a SIREN."""
    return country in _FRENCH_REGISTER


def is_french_registration(number: str) -> bool:
    """Whether this can be a SIREN, or a SIRET (a SIREN and the five digits of an establishment)."""
    return siren.is_valid(number) or siret.is_valid(number)


def french_digits(country: str, number: str) -> str:
    """A SIREN or SIRET of a country's businesses, digits alone; empty for what is none, as other registers' numbers."""
    is_french = has_french_registrations(country) and is_french_registration(number)
    return siren.compact(number) if is_french else ""


def normalise_vat_number(country: str, number: str) -> str:
    """A number as the tax offices write it: `de 136.695.976` of DE is `DE136695976`; what cannot be right stays."""
    return vat.compact(number) if is_vat_number_of(country, number) else number.strip()


def normalise_legal_id(country: str, number: str) -> str:
    """A SIREN or SIRET without spaces; the numbers of other registers stay."""
    return french_digits(country, number) or number.strip()
