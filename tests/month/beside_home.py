"""A provider that invoices services on their own and sells prepaid credits, beside what it bills by the month."""

from provider_home import ProviderHome, Row, at, grant, hourly, one_shot, organisation, payment, ran

JANUARY, FEBRUARY = "2026-01", "2026-02"
BESIDE_SETTINGS = {"BILLING_SELLER__ADDRESS": '["44000 Nantes"]', "BILLING_SELLER__VAT_NUMBER": "FR40303265045"}
AUDIT = (
    "one-shot", "add", "buyer", "Audit", "--reference", "audit", "--price", "50.00", "--date", "2026-01-10",
    "--author", "Ada",
)  # fmt: skip


def ordered(owner: str, event: str, amount: str, day: str, **columns: object) -> Row:
    """Something that a shop sells on an invoice of its own."""
    told = {"event_id": event, "source": "shop", "invoice": "specific"} | columns
    return one_shot(owner, event.title(), amount, at(day), **told)


def bill_beside(home: ProviderHome) -> None:
    """A shop's customer, one that never pays, one that is parked while it orders something; and two by the month."""
    home.settings |= BESIDE_SETTINGS
    home.land("organisations", *map(organisation, ("buyer", "debtor", "lost", "prompt", "welcome")))
    home.land("price_tiers", hourly("apps.s", "0.10"))
    home.land("credit_grants", grant("prompt", "brought", "100.00", kind="prepaid"), grant("welcome", "hello", "20.00"))
    home.land(
        "runtime_intervals",
        ran("buyer", "apps.s", at("2026-01-01"), at("2026-01-11")),
        ran("lost", "apps.unpriced", at("2026-01-05"), at("2026-01-06")),
        *(ran(owner, "apps.s", at("2026-01-01"), None) for owner in ("prompt", "welcome")),
    )
    home.land(
        "one_shots",
        ordered("buyer", "top-up", "100.00", "2026-01-12", sells_credits=True),
        ordered("debtor", "credit", "30.00", "2026-01-12", sells_credits=True, invoice="monthly"),
        ordered("lost", "advice", "10.00", "2026-01-12"),
        ordered("prompt", "review", "50.00", "2026-02-10"),
    )
    home.keep("entered", *AUDIT, "--specific", "--at", "2026-01-11")
    home.keep("entered again", *AUDIT, "--specific", "--at", "2026-01-20")
    home.bill(JANUARY)
    top_up, unpaid = (
        home.row("invoices/specific_invoices", JANUARY, reference=f"shop/{name}")["number"]
        for name in ("top-up", "credit")
    )
    home.land(
        "payments",
        payment("buyer", top_up, "120.00", at("2026-02-10")),
        # They say the month, so they pay the monthly invoice and no other.
        payment("buyer", f"buyer/{JANUARY}", "57.60", at("2026-02-11")),
        payment("prompt", f"prompt/{JANUARY}", "58.56", at("2026-02-11")),
        known_at=at("2026-02-11"),
    )
    told = ("--reason", "gone", "--author", "Ada", "--at", "2026-02-20T00:00:00Z")
    home.keep("state", "state", unpaid, "WONTPAY", *told)
    # The shop moves what was invoiced to another day.
    again = ordered("buyer", "top-up", "100.00", "2026-02-03", sells_credits=True, ingested_at=at("2026-02-20"))
    home.land("one_shots", again)
    home.bill(FEBRUARY)
