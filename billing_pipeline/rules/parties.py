"""The parties of an invoice as plain values."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Seller:
    """The provider whose invoices these are, as printed and as tax law sees it. Empty texts are not printed."""

    name: str
    address: tuple[str, ...]
    #: ISO 3166-1 alpha-2; VAT is domestic for customers of the same country.
    country: str
    vat_number: str = ""
    legal_id: str = ""
    #: Legal form, capital, register: one line of the footer.
    legal_mention: str = ""
    email: str = ""
    iban: str = ""
    bic: str = ""
