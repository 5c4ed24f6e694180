"""Which VAT an invoice bears: decided once per invoice, for the customer's address, kind and VAT number of that day.

The decision table is that of a provider of electronically supplied services in a member state. `S`, `AE`, `O` are the
categories of EN 16931 (BT-118):

====================================================  =======================  ======  ========
customer                                              reason                   rate    category
====================================================  =======================  ======  ========
in the provider's country (Monaco counts as France)   ``home``                 its     S
of a French provider: Guadeloupe, Martinique, Réunion
- business                                            ``overseas_department``  8.5 %   S
- consumer                                            ``home``                 20 %    S
of a French provider: Guyane, Mayotte
- business                                            ``not_applicable``       0       O
- consumer                                            unknown                  parked
in another member state
- business with a valid VAT number                    ``reverse_charge``       0       AE
- business without                                    unknown                  parked
- consumer without a VAT number                       ``oss``                  theirs  S
outside the EU, or of it but outside its VAT          ``outside_eu``           0       O
====================================================  =======================  ======  ========

Outside the VAT of the EU lie, among others, the French collectivities of the Pacific, Saint-Barthélemy, Saint-Martin,
the Canary Islands and Åland; postcodes tell. Madeira and the Azores have rates of their own. The threshold of
10,000 euros under which consumers abroad may be taxed at home is not used. Reduced rates of some Greek islands are for
what is performed there, and not used either.

Rates are those in force on the tax point, the date of issue. A VAT number is valid if its shape and check digits are;
whether it exists only VIES knows, which is not asked.
Sources: directive 2006/112/EC art. 6, 44, 45, 58, 196, 369a; CGI art. 259, 259-1°, 278, 283-2, 294-1, 296;
BOI-TVA-GEO-20-40; Regulation 282/2011 art. 18.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import date
from typing import NamedTuple

import dataframely as dy
import polars as pl

from billing_pipeline.rules.languages import FALLBACK, choose_language
from billing_pipeline.rules.parties import Seller
from billing_pipeline.rules.registrations import EU, is_vat_number_of
from billing_pipeline.rules.rounding import rounded_half_away
from billing_pipeline.tables.accounts import Organisations
from billing_pipeline.tables.columns import organisation_id
from billing_pipeline.tables.invoices import ParkedOrganisations, vat_category, vat_scheme
from billing_pipeline.tables.table import Table

#: ISO 3166-1 alpha-2: what is not in it is a typing error, not a customer outside the EU.
COUNTRIES = frozenset(
    """
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA
    CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA
    GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP
    KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS
    MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS
    RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW
    TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW
    """.split()  # noqa: SIM905
)

#: Departments where French VAT has a rate of its own, and where it does not apply (art. 294-1 CGI).
_OVERSEAS_TAXED, _OVERSEAS_UNTAXED = frozenset({"GP", "MQ", "RE"}), frozenset({"GF", "YT"})

#: Places that postcodes tell from the rest of their country: by the start of the postcode, the ISO 3166 code or a name.
_PLACES = {
    "FR": {
        "971": "GP", "97133": "BL", "97150": "MF", "972": "MQ", "973": "GF", "974": "RE", "975": "PM", "976": "YT",
        "977": "BL", "978": "MF", "980": "FR", "984": "TF", "986": "WF", "987": "PF", "988": "NC",
    },
    "AT": {"6691": "AT-Jungholz", "6991": "AT-Mittelberg", "6992": "AT-Mittelberg", "6993": "AT-Mittelberg"},
    "DE": {"27498": "DE-Helgoland", "78266": "DE-Büsingen"},
    "ES": {"35": "ES-CN", "38": "ES-CN", "51": "ES-CE", "52": "ES-ML"},
    "FI": {"22": "AX"},
    "GR": {"63086": "GR-69"},
    "IT": {"22061": "IT-Campione", "23041": "IT-Livigno"},
    "PT": {
        "90": "PT-30", "91": "PT-30", "92": "PT-30", "93": "PT-30", "94": "PT-30",
        "95": "PT-20", "96": "PT-20", "97": "PT-20", "98": "PT-20", "99": "PT-20",
    },
}  # fmt: skip

#: Parts of member states outside the territory of the directive (its art. 6); others have ISO codes of their own.
_OUTSIDE_THE_DIRECTIVE = frozenset(
    {"DE-Helgoland", "DE-Büsingen", "ES-CN", "ES-CE", "ES-ML", "GR-69", "IT-Campione", "IT-Livigno"}
)

#: Five digits tell a place in France; the first two of those overseas, and of Monaco.
_FRENCH_DIGITS, _FRENCH_AFAR = 5, ("97", "98")


class TaxUnknown(ValueError):
    """The tables do not say which VAT this invoice bears; the organisation is parked as ``tax_unknown``."""


class VatRate(NamedTuple):
    """A rate of a country, in force from `valid_from` until the day before `valid_to` (None: no end is known)."""

    #: ISO 3166-1 alpha-2; ISO 3166-2 of a region with a rate of its own (`PT-20`, the Azores).
    country: str
    #: `standard` of a country, `regional` of a part of one.
    kind: str
    vat_ppm: int
    valid_from: date
    valid_to: date | None


class VatRule(NamedTuple):
    """What an invoice says of its VAT under one reason."""

    #: `domestic`, `reverse_charge`, `oss` (one-stop shop) or `outside`: where it is declared.
    scheme: str
    #: EN 16931, BT-118.
    category: str
    #: VATEX code (BT-121); None where VAT is charged.
    exemption_code: str | None


#: By reason.
VAT_RULES = {
    "home": VatRule("domestic", "S", None),
    "overseas_department": VatRule("domestic", "S", None),
    "not_applicable": VatRule("outside", "O", "VATEX-EU-O"),
    "reverse_charge": VatRule("reverse_charge", "AE", "VATEX-EU-AE"),
    "oss": VatRule("oss", "S", None),
    "outside_eu": VatRule("outside", "O", "VATEX-EU-O"),
}

#: What is printed beside the rate, by language and reason; the words of the law stand first. `{country}` is whose VAT
#: it is.
_NOTES = {
    "en": {
        "home": "VAT of {country}, standard rate",
        "reverse_charge": "Reverse charge — art. 196 directive 2006/112/EC",
        "oss": "VAT of {country}, one-stop shop (OSS) — art. 58 directive 2006/112/EC",
        "outside_eu": "VAT not applicable — outside the EU, art. 44 and 59 directive 2006/112/EC",
    },
    "fr": {
        "home": "TVA ({country}), taux normal",
        "reverse_charge": "Autoliquidation — art. 196 de la directive 2006/112/CE",
        "oss": "TVA ({country}), guichet unique (OSS) — art. 58 de la directive 2006/112/CE",
        "outside_eu": "TVA non applicable — hors UE, art. 44 et 59 de la directive 2006/112/CE",
    },
}
#: The same of a French provider: the French words stay, whatever the language.
_FRENCH_NOTES = {
    "en": _NOTES["en"]
    | {
        "home": "French VAT, standard rate — article 278 CGI",
        "overseas_department": "French VAT, overseas departments — article 296 CGI",
        "not_applicable": "TVA non applicable — art. 294-1 du CGI (VAT not applicable)",
        "reverse_charge": "Autoliquidation — art. 283-2 CGI, art. 196 dir. 2006/112/CE (reverse charge)",
        "outside_eu": "TVA non applicable — art. 259-1° du CGI (VAT not applicable)",
    },
    "fr": _NOTES["fr"]
    | {
        "home": "TVA française, taux normal — art. 278 du CGI",
        "overseas_department": "TVA française, départements d’outre-mer — art. 296 du CGI",
        "not_applicable": "TVA non applicable — art. 294-1 du CGI",
        "reverse_charge": "Autoliquidation — art. 283-2 du CGI, art. 196 de la directive 2006/112/CE",
        "outside_eu": "TVA non applicable — art. 259-1° du CGI",
    },
}


@dataclass(frozen=True)
class TaxDecision:
    """The one rate of an invoice and what the invoice says of it; fields as the columns of `Drafts`."""

    vat_ppm: int
    vat_reason: str
    vat_scheme: str
    vat_category: str
    vat_exemption_code: str | None
    vat_note: str


class DecidedVat(Table):
    """One row per payer whose VAT was decided."""

    payer_id = organisation_id(primary_key=True)
    vat_ppm = dy.Int64(min=0)
    vat_reason = dy.String()
    vat_scheme = vat_scheme()
    vat_category = vat_category()
    vat_exemption_code = dy.String(nullable=True)
    vat_note = dy.String(min_length=1)


class VatDecisions(NamedTuple):
    """The decisions for all payers: each is in one of the two frames."""

    rates: dy.DataFrame[DecidedVat]
    unknown: dy.DataFrame[ParkedOrganisations]


def rate_at(rates: Sequence[VatRate], country: str, on: date) -> int:
    """The rate of a country or region on a day, in millionths.

    A correction of an older invoice bears the rate of that invoice: ask for its date of issue.

    Args:
        rates: see `VatRate`; no two of a country hold on one day.
        country: as in `VatRate`.
        on: the tax point.

    Raises:
        TaxUnknown: the table has no rate of it for that day.
    """
    for rate in rates:
        if rate.country == country and rate.valid_from <= on and (rate.valid_to is None or on < rate.valid_to):
            return rate.vat_ppm
    message = f"no VAT rate of {country} on {on} is known; add it to adapters/vat_rates.csv, with its source checked"
    raise TaxUnknown(message)


def decide_vat(
    country: str,
    postcode: str,
    kind: str,
    vat_number: str | None,
    seller: Seller,
    rates: Sequence[VatRate],
    on: date,
    language: str = FALLBACK,
) -> TaxDecision:
    """Decide the VAT of an invoice.

    Args:
        country: the customer's, ISO 3166-1 alpha-2; Monaco counts as France.
        postcode: tells places with a VAT of their own, as overseas departments, from the rest of their country.
        kind: ``business`` or ``consumer``.
        vat_number: the customer's, with its country's prefix (``EL`` for Greece); spaces do not matter.
        seller: the provider.
        rates: the dated rates.
        on: the tax point: the date of issue.
        language: what the customer reads, as `rules.languages` understands it.

    Raises:
        TaxUnknown: the decision table of this module has no row for it; the message says what is missing.
    """
    home, place = _home(seller), _find_place(country, postcode)
    reason, vat_ppm = _decide(home, place, kind, vat_number, seller, rates, on)
    rule, notes = VAT_RULES[reason], _FRENCH_NOTES if home == "FR" else _NOTES
    note = notes[choose_language(language)][reason].format(country=place)
    return TaxDecision(vat_ppm, reason, rule.scheme, rule.category, rule.exemption_code, note)


def _decide(
    home: str, place: str, kind: str, vat_number: str | None, seller: Seller, rates: Sequence[VatRate], on: date
) -> tuple[str, int]:
    """The reason, which is a row of the decision table, and the rate in millionths.

    Args:
        home: the provider's country.
        place: the customer's country, or region with a VAT of its own.
        kind, vat_number, seller, rates, on: as in `decide_vat`.

    Raises:
        TaxUnknown: the table has no row for it.
    """
    home_ppm = rate_at(rates, home, on)
    if place == home:
        return "home", home_ppm
    if place in _OVERSEAS_TAXED | _OVERSEAS_UNTAXED:
        return _decide_overseas(place, kind, vat_number, home, rates, on)
    member = place[:2]
    if member not in EU or place in _OUTSIDE_THE_DIRECTIVE:
        return "outside_eu", 0
    if member == home:
        message = f"{place} is a region of the provider's own country; have its rate confirmed and add it to rules.tax"
        raise TaxUnknown(message)
    if kind == "consumer" and not vat_number:
        return "oss", rate_at(rates, place, on)
    if kind == "consumer" or not vat_number or not is_vat_number_of(member, vat_number):
        raise TaxUnknown(_why_no_reverse_charge(member, kind, vat_number))
    if not is_vat_number_of(home, seller.vat_number):
        message = (
            f"a reverse charge invoice needs both VAT numbers, and {seller.vat_number!r} is none of {home}; "
            "set seller.vat_number"
        )
        raise TaxUnknown(message)
    return "reverse_charge", 0


def decide_taxes(
    organisations: dy.DataFrame[Organisations], seller: Seller, rates: Sequence[VatRate], on: date
) -> VatDecisions:
    """Decide the VAT of payers, given with their current versions, for invoices of one date."""
    decided, unknown = [], []
    columns = ("owner_id", "country", "postcode", "kind", "vat_number", "language")
    for payer, *party, language in organisations.sort("owner_id").select(columns).iter_rows():
        try:
            decision = decide_vat(*party, seller, rates, on, language)
        except TaxUnknown as problem:
            unknown.append((payer, "tax_unknown", str(problem)))
        else:
            decided.append((payer, *astuple(decision)))
    return VatDecisions(
        DecidedVat.validate(_frame(DecidedVat, decided)),
        ParkedOrganisations.validate(_frame(ParkedOrganisations, unknown)),
    )


def find_retaxed(drafts: pl.DataFrame, decisions: VatDecisions) -> list[str]:
    """Payers whose drafts (rows of `tables.invoices.Drafts`) bear another VAT than was decided, in order."""
    decided = decisions.rates.with_columns(pl.col(pl.Enum).cast(pl.String))
    drafted = drafts.with_columns(pl.col(pl.Enum).cast(pl.String)).select(decided.columns)
    return drafted.join(decided, on=decided.columns, how="anti", nulls_equal=True)["payer_id"].sort().to_list()


def add_vat(documents: pl.DataFrame) -> pl.DataFrame:
    """Documents with `vat_cents`, rounded once on `subtotal_cents` at `vat_ppm`, and `payable_cents`."""
    subtotal = pl.col("subtotal_cents")
    vat = rounded_half_away(subtotal.cast(pl.Int128) * pl.col("vat_ppm"), 10**6).cast(pl.Int64)
    return documents.with_columns(vat_cents=vat).with_columns(payable_cents=subtotal + pl.col("vat_cents"))


def _frame(table: type[dy.Schema], rows: list[tuple]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=table.create_empty().schema, orient="row")


def _home(seller: Seller) -> str:
    home = "FR" if seller.country == "MC" else seller.country
    if home not in EU:
        message = (
            f"the provider's country {home} is no member state, and the decision table of rules.tax is for those; "
            "correct seller.country, or have the table written with a tax adviser"
        )
        raise TaxUnknown(message)
    return home


def _find_place(country: str, postcode: str) -> str:
    """The country or region whose VAT rules hold at an address: `GP` for a French address in Guadeloupe."""
    if country not in COUNTRIES:
        message = (
            f"{country!r} is not a country of ISO 3166-1 (Greece is GR, the United Kingdom GB); correct the address"
        )
        raise TaxUnknown(message)
    digits = re.sub("[^0-9]", "", unicodedata.normalize("NFKC", postcode))
    starts = [start for start in _PLACES.get(country, ()) if digits.startswith(start)]
    if starts:
        return _PLACES[country][max(starts, key=len)]
    if country == "FR" and (len(digits) < _FRENCH_DIGITS or digits.startswith(_FRENCH_AFAR)):
        message = (
            f"{postcode!r} is no French postcode, which tells the mainland from overseas, where other rates or none "
            "apply; correct the address"
        )
        raise TaxUnknown(message)
    return "FR" if country == "MC" else country


def _decide_overseas(
    place: str, kind: str, vat_number: str | None, home: str, rates: Sequence[VatRate], on: date
) -> tuple[str, int]:
    """The French departments: part of France for the services of a French provider, outside the EU for others."""
    if kind == "business" and home != "FR":
        return "outside_eu", 0
    if kind == "business" and vat_number and not is_vat_number_of("FR", vat_number):
        message = f"{vat_number!r} is not a valid VAT number of FR; correct it in the organisations row"
        raise TaxUnknown(message)
    if kind == "business" and place in _OVERSEAS_TAXED:
        return "overseas_department", rate_at(rates, place, on)
    if kind == "business":
        return "not_applicable", 0
    if home == "FR" and place in _OVERSEAS_TAXED:
        return "home", rate_at(rates, home, on)
    message = (
        f"a consumer in {place}: the table has no rate for it (general rule or art. 294-1 CGI); "
        "have it confirmed by a tax adviser and add it to rules.tax"
    )
    raise TaxUnknown(message)


def _why_no_reverse_charge(country: str, kind: str, vat_number: str | None) -> str:
    if kind == "consumer":
        return (
            f"a consumer in {country} with the VAT number {vat_number!r}: land the organisations row as a business, "
            "or without the number"
        )
    if not vat_number:
        return (
            f"a business in {country} without a VAT number; land the number in its organisations row, "
            "or the row as a consumer's if it has none"
        )
    return f"{vat_number!r} is not a valid VAT number of {country}; correct it in the organisations row"
