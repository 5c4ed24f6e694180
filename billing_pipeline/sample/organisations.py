"""Invents customers: rows of the feed `organisations` with plausible names and valid registration numbers.

Every company and person here is made up. French registration numbers start with 0, Spanish ones with the province 00,
and Italian ones carry the office 999, so that none is likely to be a real one; German and Swiss ones are drawn freely.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from random import Random
from uuid import UUID

from stdnum import luhn
from stdnum.ch import uid
from stdnum.es import cif
from stdnum.iso7064 import mod_11_10

from billing_pipeline.rules.period import Month, microseconds
from billing_pipeline.sample.landing import Row

_FEWEST = 12


class TooFewOrganisations(ValueError):
    """So few organisations cannot play all the parts of the sample."""


@dataclass(frozen=True)
class Customer:
    """One organisation of the sample, with what the generators of its usage and payments need to know."""

    owner_id: str
    #: Itself, unless it is a sub-organisation.
    payer_id: str
    #: `small`, `medium` or `large`: how much it uses and pays.
    size: str
    opened_at: datetime
    #: None: stays open.
    closed_at: datetime | None
    #: Its rows in the feed, oldest first; each states the whole organisation.
    rows: tuple[Row, ...]

    @property
    def pays(self) -> bool:
        """Whether it is billed itself."""
        return self.payer_id == self.owner_id


@dataclass(frozen=True)
class _Country:
    """Word lists and addresses from which companies of one country are put together."""

    code: str
    language: str
    stems: tuple[str, ...]
    trades: tuple[str, ...]
    form: str
    street: str
    #: (postcode, city)
    places: tuple[tuple[str, str], ...]


_COUNTRIES = {
    country.code: country
    for country in (
        _Country(
            "FR",
            "fr",
            (
                "Vaurélis",
                "Brumequin",
                "Lavandou & Fils",
                "Cèdrelune",
                "Orbezac",
                "Mistraline",
                "Quillevère",
                "L'Étrave",
            ),
            ("Logiciel", "Conseil", "Énergies", "Logistique", "Édition", "Santé", "Mobilités"),
            "SAS",
            "{} rue des Peupliers",
            (("44000", "Nantes"), ("69003", "Lyon"), ("31000", "Toulouse"), ("59800", "Lille"), ("35000", "Rennes")),
        ),
        _Country(
            "DE",
            "en",
            ("Grünfeldt", "Moorwald", "Eschentrup", "Königsanger", "Süßmilch & Söhne"),
            ("Software", "Werkzeuge", "Energie", "Verlag"),
            "GmbH",
            "Ahornallee {}",
            (("10115", "Berlin"), ("20095", "Hamburg"), ("80331", "München")),
        ),
        _Country(
            "IT",
            "en",
            ("Montelario", "Brezzani", "Valdisole", "Ginestra"),
            ("Sistemi", "Servizi", "Trasporti"),
            "S.r.l.",
            "Via dei Tigli {}",
            (("20121", "Milano"), ("10121", "Torino")),
        ),
        _Country(
            "ES",
            "en",
            ("Almendruela", "Ríofrondoso", "Peñacorva", "Miraluz"),
            ("Tecnología", "Servicios", "Cultura"),
            "S.L.",
            "Calle del Olmo {}",
            (("28004", "Madrid"), ("46001", "València")),
        ),
        _Country(
            "US",
            "en",
            ("Brightmeadow", "O'Brannigan", "Saltwick", "Fernhollow"),
            ("Analytics", "Robotics", "Media"),
            "Inc.",
            "{} Juniper Street",
            (("97204", "Portland, OR"), ("02110", "Boston, MA")),
        ),
        _Country(
            "CH",
            "fr",
            ("Valbise", "Arvelin", "Corbassette"),
            ("Horlogerie", "Assurances", "Recherche"),
            "SA",
            "Chemin du Noyer {}",
            (("1003", "Lausanne"), ("1204", "Genève")),
        ),
    )
}
_FIRST_NAMES = ("Camille", "Noé", "Inès", "Maël", "Zoé", "Élise", "Yann", "Aïcha")
_LAST_NAMES = ("Aubrac", "Lestrange", "Ménard-Roux", "Pérol", "Vasseur", "Kerdoncuff")

#: Who the first payers are: their part in the story is told in `invent_customers`.
_CAST = ("FR", "FR", "DE", "IT", "ES", "consumer BE", "consumer GF", "US", "CH", "FR")
_THEN = ("FR", "FR", "consumer FR", "DE", "FR", "IT", "FR", "ES", "FR", "US", "DE", "FR", "consumer FR", "CH")
#: Among the payers that have sub-organisations, one more each round.
_PAYERS_OF_OTHERS = (0, 1, 0, 2, 0, 1, 0, 1)


def invent_customers(count: int, first: Month, rng: Random) -> list[Customer]:
    """Invent organisations, payers first, then the sub-organisations of the first three payers.

    The first payers play a part each: 0 pays 0.9 of every price, 1 has 5 % off its invoices, 3 closes on the 20th of
    the second month, 4 opens on the 10th of it, 5 is a consumer of another member state, whose VAT is that state's, 6
    one of Guyane, whose tax nobody has decided, and 9 moves house with the third month.

    Args:
        count: how many, sub-organisations (a fifth of them) included; at least 12.
        first: the first month of the sample; most customers opened in the years before.
        rng: where every draw comes from.

    Raises:
        TooFewOrganisations: fewer than the parts to play.
    """
    if count < _FEWEST:
        message = f"{count} organisations cannot play all parts of the sample; ask for {_FEWEST} or more"
        raise TooFewOrganisations(message)
    sub_organisations = count // 5
    used_names: set[str] = set()
    payers = [_invent_payer(number, first, rng, used_names) for number in range(count - sub_organisations)]
    subs = [
        _invent_sub_organisation(number, payers[_PAYERS_OF_OTHERS[number % len(_PAYERS_OF_OTHERS)]], rng)
        for number in range(sub_organisations)
    ]
    return payers + subs


def invent_businesses(count: int, opened_on: date, rng: Random) -> list[Row]:
    """Invent French businesses without a story: one feed row each, known since the day they opened."""
    used_names: set[str] = set()
    return [_identity("FR", rng, used_names) | _opened(opened_on) for _ in range(count)]


def _invent_payer(number: int, first: Month, rng: Random, used_names: set[str]) -> Customer:
    part = _CAST[number] if number < len(_CAST) else _THEN[(number - len(_CAST)) % len(_THEN)]
    row = _identity(part, rng, used_names)
    second = first.next
    opened_on = first.first_day - timedelta(days=rng.randrange(40, 1200))
    known_at = _noon(first.first_day - timedelta(days=1))
    closed_on = None
    changes: Row = {}
    if number == 0:
        row |= {"price_factor": "0.9"}
    elif number == 1:
        row |= {"discount_rate": "0.05", "discount_reason": "Programme partenaires"}
    elif number == 3:
        closed_on = date(second.year, second.number, 20)
        changes = {"closed_on": closed_on, "ingested_at": microseconds(_noon(closed_on))}
    elif number == 4:
        opened_on = date(second.year, second.number, 10)
        known_at = datetime(second.year, second.number, 10, 8, tzinfo=UTC)
    elif number == 9:
        moved_on = second.next.first_day
        changes = {
            "address_line1": "3 quai des Tonneliers",
            "valid_from": microseconds(_midnight(moved_on)),
            "ingested_at": microseconds(_noon(moved_on - timedelta(days=3))),
        }
    row |= _opened(opened_on) | {"ingested_at": microseconds(known_at)}
    size = "small" if row["kind"] == "consumer" else "large" if number < 2 else ("medium", "small")[number % 2]
    row["is_trusted"] = size == "large"
    return Customer(
        owner_id=row["owner_id"],
        payer_id=row["owner_id"],
        size=size,
        opened_at=_midnight(opened_on),
        closed_at=_midnight(closed_on) if closed_on else None,
        rows=(row, row | changes) if changes else (row,),
    )


def _invent_sub_organisation(number: int, payer: Customer, rng: Random) -> Customer:
    department = ("Studio", "Labs", "Marketing", "Archives", "Réseaux", "Data", "Boutique", "Formation")[number % 8]
    at_payer = payer.rows[0]
    row: Row = at_payer | {
        "owner_id": _owner_id("orga", rng),
        "payer_id": payer.owner_id,
        "name": f"{at_payer['name']} {department}" + (f" {number // 8 + 1}" if number >= 8 else ""),
        "cost_centre": f"CC-{1000 + number}",
        "discount_rate": None,
        "discount_reason": None,
    }
    return Customer(row["owner_id"], payer.owner_id, "small", payer.opened_at, payer.closed_at, (row,))


def _identity(part: str, rng: Random, used_names: set[str]) -> Row:
    """A consumer or a company of a country: everything that does not depend on time."""
    if part.startswith("consumer"):
        return _consumer(part.removeprefix("consumer "), rng, used_names)
    country = _COUNTRIES[part]
    name = _unused(lambda: f"{rng.choice(country.stems)} {rng.choice(country.trades)}", used_names)
    vat_number, legal_id = _REGISTRATIONS[country.code](rng)
    postcode, city = rng.choice(country.places)
    mailbox = "facturation" if country.language == "fr" else "billing"
    return {
        "owner_id": _owner_id("orga", rng),
        "name": name,
        "legal_name": f"{name} {country.form}",
        "kind": "business",
        "address_line1": country.street.format(rng.randrange(1, 120)),
        "address_line2": rng.choice((None, None, None, "Bâtiment C" if country.language == "fr" else "2nd floor")),
        "postcode": postcode,
        "city": city,
        "country": country.code,
        "vat_number": vat_number,
        "legal_id": legal_id,
        "currency": "EUR",
        "language": country.language,
        "billing_emails": f"{mailbox}@customer-{rng.randrange(10**6):06d}.example",
        "purchase_order": rng.choice((None, None, f"PO-{rng.randrange(10**5):05d}")),
        "payment_terms_days": rng.choice((None, None, 30, 45)),
    }


def _consumer(country: str, rng: Random, used_names: set[str]) -> Row:
    name = _unused(lambda: f"{rng.choice(_FIRST_NAMES)} {rng.choice(_LAST_NAMES)}", used_names)
    postcode, city = {"FR": ("13001", "Marseille"), "BE": ("4000", "Liège"), "GF": ("97300", "Cayenne")}[country]
    return {
        "owner_id": _owner_id("user", rng),
        "name": name,
        "kind": "consumer",
        "address_line1": f"{rng.randrange(1, 90)} impasse du Lavoir",
        "postcode": postcode,
        "city": city,
        "country": country,
        "currency": "EUR",
        "language": "fr",
        "billing_emails": f"person-{rng.randrange(10**6):06d}@mail.example",
    }


def _opened(opened_on: date) -> Row:
    return {
        "opened_on": opened_on,
        "valid_from": microseconds(_midnight(opened_on)),
        "ingested_at": microseconds(_noon(opened_on)),
        "billing_period": "month",
        "is_trusted": False,
    }


def _unused(draw: Callable[[], str], used_names: set[str]) -> str:
    """A name that nobody has yet: numbered once a handful of draws gave none."""
    for _ in range(5):
        name = draw()
        if name not in used_names:
            break
    numbered, number = name, 1
    while numbered in used_names:
        number += 1
        numbered = f"{name} {number}"
    used_names.add(numbered)
    return numbered


def _owner_id(prefix: str, rng: Random) -> str:
    return f"{prefix}_{UUID(int=rng.getrandbits(128), version=4)}"


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)


def _digits(count: int, rng: Random) -> str:
    return f"{rng.randrange(10**count):0{count}d}"


def _with_luhn(digits: str) -> str:
    return digits + luhn.calc_check_digit(digits)


def french_registration(rng: Random) -> tuple[str, str]:
    """VAT number and SIREN: the VAT key is (12 + 3 × (SIREN mod 97)) mod 97."""
    siren = _with_luhn(f"0{rng.randrange(1, 10)}" + _digits(6, rng))
    return f"FR{(12 + 3 * (int(siren) % 97)) % 97:02d}{siren}", siren


def _german_registration(rng: Random) -> tuple[str, str]:
    digits = f"{rng.randrange(1, 10)}" + _digits(7, rng)
    return f"DE{digits}{mod_11_10.calc_check_digit(digits)}", f"HRB {_digits(5, rng)}"


def _italian_registration(rng: Random) -> tuple[str, str]:
    number = _with_luhn(f"{rng.randrange(1, 10)}" + _digits(6, rng) + "999")
    return f"IT{number}", number


def _spanish_registration(rng: Random) -> tuple[str, str]:
    digits = "B00" + _digits(5, rng)
    number = digits + cif.calc_check_digits(digits)[0]
    return f"ES{number}", number


def _swiss_registration(rng: Random) -> tuple[None, str]:
    """Outside the Union: no VAT number of a member state, only the company's UID."""
    while True:
        digits = _digits(8, rng)
        check = uid.calc_check_digit(digits)
        # A check value of ten has no digit; such numbers are not given out.
        if len(check) == 1 and check.isdigit():
            return None, uid.format(f"CHE{digits}{check}")


_REGISTRATIONS: dict[str, Callable[[Random], tuple[str | None, str | None]]] = {
    "FR": french_registration,
    "DE": _german_registration,
    "IT": _italian_registration,
    "ES": _spanish_registration,
    "CH": _swiss_registration,
    "US": lambda _: (None, None),
}
