"""Which VAT an invoice bears: a snapshot of the customer's address and VAT number, decided once per invoice.

The decision table is that of a French provider of electronically supplied services:

==============================================  ==================  ======
customer                                        reason              rate
==============================================  ==================  ======
in France or Monaco                             ``home``            20 %
EU business with a valid VAT number             ``reverse_charge``  0
outside the EU                                  ``outside_eu``      0
French overseas department, other EU customers  unknown             parked
==============================================  ==================  ======

A VAT number is valid if its shape and check digits are (python-stdnum); whether it exists only VIES knows.
Sources: directive 2006/112/EC art. 44, 45 and 196; CGI art. 259, 259-1°, 278, 283-2, 294; BOI-TVA-GEO-20-40.
"""

from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

import dataframely as dy
import polars as pl
from stdnum.eu import vat

from billing_pipeline.rules.parties import Seller
from billing_pipeline.tables.accounts import Organisations
from billing_pipeline.tables.columns import organisation_id
from billing_pipeline.tables.invoices import ParkedOrganisations

#: Standard rates at home: country, first day, rate in millionths; the newest first.
HOME_RATES = [("FR", date(2014, 1, 1), 200_000), ("FR", date(2000, 4, 1), 196_000)]

EU = frozenset("AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK".split())  # noqa: SIM905 - literals would take a page

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

#: Departments and Saint-Martin, whose rates are special; the collectivities of the Pacific and others lie outside.
_OVERSEAS = frozenset({"GP", "MQ", "GF", "RE", "YT", "MF"})
_OVERSEAS_POSTCODES = ("971", "972", "973", "974", "975", "976", "977", "978", "984", "986", "987", "988")


class TaxUnknown(ValueError):
    """The tables do not say which VAT this invoice bears; the organisation is parked as ``tax_unknown``."""


@dataclass(frozen=True)
class TaxDecision:
    """The one rate of an invoice in millionths and the rule that gave it."""

    vat_ppm: int
    #: `home`, `reverse_charge` or `outside_eu`.
    reason: str


class VatRates(dy.Schema):
    """One row per payer whose VAT was decided."""

    payer_id = organisation_id(primary_key=True)
    vat_ppm = dy.Int64(min=0)
    vat_reason = dy.String()


class VatDecisions(NamedTuple):
    """The decisions for all payers: each is in one of the two frames."""

    rates: dy.DataFrame[VatRates]
    unknown: dy.DataFrame[ParkedOrganisations]


def decide_vat(country: str, postcode: str, kind: str, vat_number: str | None, seller: Seller, on: date) -> TaxDecision:
    """Decide the VAT of an invoice.

    Args:
        country: the customer's, ISO 3166-1 alpha-2; Monaco counts as France.
        postcode: tells the French overseas departments from the mainland.
        kind: ``business`` or ``consumer``.
        vat_number: the customer's, with its country's prefix (``EL`` for Greece); spaces do not matter.
        seller: the provider.
        on: the day whose rates apply.

    Raises:
        TaxUnknown: the decision table of this module has no row for it; the message says what is missing.
    """
    home = _vat_country(seller.country)
    customer = _vat_country(country)
    home_ppm = _home_rate(home, on)
    if country not in COUNTRIES:
        message = (
            f"{country!r} is not a country of ISO 3166-1 (Greece is GR, the United Kingdom GB); correct the address"
        )
        raise TaxUnknown(message)
    if customer in _OVERSEAS or (customer == "FR" and postcode.strip().startswith(_OVERSEAS_POSTCODES)):
        message = (
            f"{country} {postcode} is French overseas territory, where special rates or none apply; "
            "have the rate confirmed and add it to rules.tax"
        )
        raise TaxUnknown(message)
    if customer == home:
        return TaxDecision(home_ppm, "home")
    if customer not in EU:
        return TaxDecision(0, "outside_eu")
    if kind == "business" and _is_vat_number_of(customer, vat_number or ""):
        return TaxDecision(0, "reverse_charge")
    raise TaxUnknown(_why_no_reverse_charge(customer, kind, vat_number))


def decide_taxes(organisations: dy.DataFrame[Organisations], seller: Seller, on: date) -> VatDecisions:
    """Decide the VAT of payers, given with their current versions."""
    rates, unknown = [], []
    parties = organisations.sort("owner_id").select("owner_id", "country", "postcode", "kind", "vat_number")
    for payer, country, postcode, kind, vat_number in parties.iter_rows():
        try:
            decision = decide_vat(country, postcode, kind, vat_number, seller, on)
        except TaxUnknown as problem:
            unknown.append((payer, "tax_unknown", str(problem)))
        else:
            rates.append((payer, decision.vat_ppm, decision.reason))
    return VatDecisions(
        VatRates.validate(_frame(VatRates, rates)),
        ParkedOrganisations.validate(_frame(ParkedOrganisations, unknown)),
    )


def _frame(table: type[dy.Schema], rows: list[tuple]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=table.create_empty().schema, orient="row")


def _vat_country(country: str) -> str:
    return "FR" if country == "MC" else country


def _home_rate(home: str, on: date) -> int:
    for country, first_day, ppm in HOME_RATES:
        if country == home and first_day <= on:
            return ppm
    message = (
        f"no standard VAT rate of the seller's country {home} on {on}; add it to HOME_RATES in rules.tax, "
        "and check with a tax adviser that the decision table there holds for that country"
    )
    raise TaxUnknown(message)


def _is_vat_number_of(country: str, vat_number: str) -> bool:
    prefix = "EL" if country == "GR" else country
    return vat.is_valid(vat_number) and vat.compact(vat_number).startswith(prefix)


def _why_no_reverse_charge(country: str, kind: str, vat_number: str | None) -> str:
    if kind == "consumer":
        return (
            f"a consumer in {country} pays that country's VAT (one-stop shop), which is not supported yet; "
            "bill this organisation by hand"
        )
    if not vat_number:
        return f"a business in {country} without a VAT number; land the number in its organisations row"
    return f"{vat_number!r} is not a valid VAT number of {country}; correct it in the organisations row"
