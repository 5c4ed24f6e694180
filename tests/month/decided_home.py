"""A provider whose issued invoices are taken back: cancelled, refunded, or issued again for the party of today.

January is issued; the invoices of some are issued again with February; then some are cancelled and what some had
prepaid is refunded, and some that were issued again are touched once more, with March.
"""

from provider_home import ProviderHome, Row, at, grant, hourly, one_shot, organisation, payment, ran

JANUARY, FEBRUARY, MARCH = "2026-01", "2026-02", "2026-03"
DECIDED_SETTINGS = {
    "BILLING_SELLER__COUNTRY": "FR",
    "BILLING_SELLER__VAT_NUMBER": "FR44732829320",
    "BILLING_SELLER__ADDRESS": '["44000 Nantes"]',
}
#: Whose invoices are cancelled or whose credits are refunded, and whose invoices are issued again.
TAKEN_BACK = (
    "brought", "closed", "credits", "never", "saver", "spender", "steady", "thrifty", "withheld", "written",
)  # fmt: skip
REISSUED = ("gone", "held", "meanwhile", "moved", "named", "paid", "twice", "unknown")
CANCELLED = ("credits", "never", "saver", "spender")
#: 744 hours at 0.10 and as much in advance, with VAT.
ASKED = "178.56"
GHENT = {"country": "BE", "postcode": "9000", "city": "Gent", "vat_number": "BE0403170701"}
BERLIN = {"country": "DE", "postcode": "10115", "city": "Berlin"}
#: What is ordered beside monthly invoices.
_ORDERS = (("steady", "audit", "50.00", False), ("steady", "more", "30.00", True), ("topper", "most", "100.00", True))


def number_of(owner: str) -> str:
    """The number of an invoice of January."""
    return f"INV-2026-{sorted((*TAKEN_BACK, *REISSUED)).index(owner) + 1:06d}"


def beside(home: ProviderHome, event: str) -> str:
    """The number of an invoice beside the monthly ones."""
    return home.row("invoices/specific_invoices", JANUARY, reference=f"shop/{event}")["number"]


def bill_decided(home: ProviderHome) -> None:
    home.settings |= DECIDED_SETTINGS
    home.land("price_tiers", hourly("apps.s", "0.10"))
    _land_taken_back(home)
    _land_reissued(home)
    home.number(JANUARY, "exports")

    _pay_before_february(home)
    _decide_before_february(home)
    home.number(FEBRUARY, "exports")
    home.print(FEBRUARY)

    home.keep("February", "status", FEBRUARY)
    _reissue_before_march(home)
    _take_back_before_march(home)
    home.number(MARCH, "exports")
    _reissue(home, "once more", f"unknown/{JANUARY}")
    home.keep("refund", "refund", f"moved/{JANUARY}", "--reason", "left", "--author", "Ada")


def _land_taken_back(home: ProviderHome) -> None:
    closing = {owner: {"closed_on": at("2026-02-15").date()} for owner in ("brought", "closed", "topper")}
    home.land("organisations", *(organisation(owner, **closing.get(owner, {})) for owner in (*TAKEN_BACK, "topper")))
    stops = dict.fromkeys(("closed", "credits", "saver", "thrifty"), at("2026-02-01"))
    home.land(
        "runtime_intervals", *(ran(owner, "apps.s", at("2026-01-01"), stops.get(owner)) for owner in TAKEN_BACK[1:])
    )
    home.land(
        "credit_grants",
        grant("credits", "COUPON", "20.00"),
        grant("credits", "brought", "30.00", kind="prepaid"),
        grant("brought", "elsewhere", "50.00", kind="prepaid"),
    )
    home.land("one_shots", *(_ordered(*order, sells_credits=sells) for *order, sells in _ORDERS))


def _ordered(owner: str, event: str, amount: str, *, sells_credits: bool) -> Row:
    told = {"event_id": event, "source": "shop", "invoice": "specific", "sells_credits": sells_credits}
    return one_shot(owner, event.title(), amount, at("2026-01-12"), **told)


def _land_reissued(home: ProviderHome) -> None:
    home.land("organisations", *map(organisation, REISSUED))
    home.land("runtime_intervals", *(ran(owner, "apps.s", at("2026-01-01"), at("2026-02-01")) for owner in REISSUED))
    home.land("credit_grants", grant("moved", "MOVED", "20.00"), grant("moved", "had", "30.00", kind="prepaid"))
    home.land("runtime_intervals", ran("held", "apps.rare", at("2026-02-10"), at("2026-02-11")))
    home.land("payments", payment("paid", f"paid/{JANUARY}", ASKED, at("2026-02-02")))


def _pay_before_february(home: ProviderHome) -> None:
    home.land("payments", payment("topper", beside(home, "most"), "120.00", at("2026-02-10")))
    payers = ("closed", "meanwhile", "saver", "spender", "thrifty")
    home.land("payments", *(payment(owner, number_of(owner), ASKED, at("2026-02-10")) for owner in payers))
    home.land("payments", payment("named", f"named/{JANUARY}", "50.00", at("2026-02-10")))


def _decide_before_february(home: ProviderHome) -> None:
    _move(home, "moved", "2026-02-15", **GHENT)
    _move(home, "unknown", "2026-02-15", **BERLIN)
    for owner in ("gone", "held", "moved", "named", "twice", "unknown", "meanwhile"):
        _reissue(home, owner, f"{owner}/{JANUARY}")
    _cancel_moved(home, "cancelled", number_of("moved"))
    home.keep("waiting", "state", number_of("moved"))


def _reissue_before_march(home: ProviderHome) -> None:
    home.land("price_tiers", hourly("apps.rare", "1.00"), known_at=at("2026-03-05"))
    home.keep("released", "release", "held", FEBRUARY)
    _reissue(home, "paid", number_of("paid"))
    _reissue(home, "replaced", number_of("twice"))
    _reissue(home, "again", f"twice/{JANUARY}")
    _cancel_moved(home, "gone for good", f"gone/{JANUARY}")
    _move(home, "twice", "2026-03-10", address_line1="2 rue des Essais")
    _move(home, "unknown", "2026-03-10", **BERLIN, vat_number="DE136695976")
    again = home.row("invoices/reissued_invoices", FEBRUARY, payer_id="moved")["number"]
    home.land(
        "payments",
        payment("moved", again, "98.80", at("2026-03-20")),
        payment("named", f"named/{JANUARY}", "128.56", at("2026-03-20")),
    )


def _take_back_before_march(home: ProviderHome) -> None:
    _decide(home, "withheld", "state", number_of("withheld"), "PAYMENTHELD", "--at", "2026-03-04T00:00:00Z")
    _decide(home, "written", "state", number_of("written"), "WONTPAY", "--at", "2026-03-04T00:00:00Z")
    _decide(home, "no document", "cancel", "INV-2026-000099")
    _decide(home, "refused", "cancel", number_of("withheld"))
    for owner in CANCELLED:
        _decide(home, owner, "cancel", f"{owner}/{JANUARY}")
    _decide(home, "never again", "cancel", number_of("never"))
    for owner in ("closed", "brought", "steady", "thrifty"):
        _decide(home, owner, "refund", owner)
    for owner in ("never", "spender", "steady", "thrifty"):
        _decide(home, f"{owner}'s refill", "refund", number_of(owner))
    _decide(home, "cancel of most", "cancel", beside(home, "most"))
    _decide(home, "topper", "refund", "topper")
    for event in ("audit", "more"):
        _decide(home, f"refund of {event}", "refund", beside(home, event))
        _decide(home, event, "cancel", beside(home, event))
    _decide(home, "withheld again", "state", number_of("never"), "PAYMENTHELD", "--at", "2026-03-05T00:00:00Z")
    home.keep("pending", "state", number_of("never"))
    home.land("payments", payment("saver", number_of("saver"), ASKED, at("2026-03-20"), outcome="refunded"))


def _move(home: ProviderHome, owner: str, day: str, **place: object) -> None:
    home.land("organisations", organisation(owner, valid_from=at(day), **place), known_at=at(day))


def _reissue(home: ProviderHome, name: str, number: str) -> None:
    home.keep(name, "cancel", number, "--reissue", "--reason", f"{name} moved", "--author", "Ada")


def _cancel_moved(home: ProviderHome, name: str, number: str) -> None:
    home.keep(name, "cancel", number, "--reason", f"{name} moved", "--author", "Ada")


def _decide(home: ProviderHome, name: str, *arguments: str) -> None:
    home.keep(name, *arguments, "--reason", "billed by mistake", "--author", "Ada")
