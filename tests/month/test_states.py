"""From draft to paid, held or written off: what states do to the month after, and that nothing was touched."""

from collections.abc import Callable
from dataclasses import dataclass, field

import polars as pl
import pytest
from provider_home import ProviderHome, at, grant, hourly, organisation, payment, ran

from billing_pipeline.rules.period import Month

JANUARY, FEBRUARY = "2026-01", "2026-02"
OWNERS = ("debtor", "failing", "gifted", "held", "partial", "prompt", "refunded", "written")
#: 744 hours at 0.10 and as much in advance, with VAT.
ASKED = "178.56"


@dataclass
class Story:
    """January drafted and issued, then paid in every way, then February issued."""

    home: ProviderHome
    #: January's tables as they were drafted.
    drafts: pl.DataFrame = field(default_factory=pl.DataFrame)
    lines: pl.DataFrame = field(default_factory=pl.DataFrame)
    #: What was printed of prompt's draft.
    preview: str = ""
    #: What the commands said.
    said: dict[str, str] = field(default_factory=dict)

    def number(self, payer: str) -> str:
        return f"INV-2026-{OWNERS.index(payer) + 1:06d}"

    def states(self, payer: str, month: str = FEBRUARY) -> list[str]:
        rows = self.home.rows("invoices/states", month, number=self.number(payer))
        return [row["state"] for row in sorted(rows, key=lambda row: row["change_number"])]


def decide(home: ProviderHome, number: str, state: str, instant: str) -> str:
    return home.command("state", number, state, "--reason", "as agreed", "--author", "Ada", "--at", instant).output


@pytest.fixture(scope="module")
def story(new_home: Callable[..., ProviderHome]) -> Story:
    home = new_home("states")
    story = Story(home)
    home.land("organisations", *(organisation(owner) for owner in OWNERS))
    home.land("price_tiers", hourly("apps.s", "0.10"))
    home.land("runtime_intervals", *(ran(owner, "apps.s", at("2026-01-01"), None) for owner in OWNERS))
    home.land("credit_grants", grant("gifted", "GIFT", "1000.00"))
    home.close(JANUARY)
    story.drafts = home.generation("invoices/drafts", JANUARY).read()
    story.lines = home.generation("invoices/invoice_lines", JANUARY).read()
    story.preview = home.printed("2026-01/prompt")
    home.issue(JANUARY)
    home.land(
        "payments",
        payment("prompt", story.number("prompt"), ASKED, at("2026-02-10")),
        payment("partial", "partial/2026-01", "178.55", at("2026-02-11")),
        payment("failing", story.number("failing"), ASKED, at("2026-02-12"), outcome="failed"),
        payment("refunded", story.number("refunded"), ASKED, at("2026-02-05")),
        payment("refunded", story.number("refunded"), ASKED, at("2026-02-20"), outcome="refunded"),
        payment("debtor", story.number("debtor"), "1.00", at("2026-02-21"), outcome="refunded"),
    )
    story.said = {
        "processing": decide(home, story.number("failing"), "PROCESSING", "2026-02-07T00:00:00Z"),
        "hold": decide(home, "held/2026-01", "paymentheld", "2026-02-18T00:00:00Z"),
        "write off": decide(home, story.number("written"), "WONTPAY", "2026-02-19T00:00:00Z"),
        "again": decide(home, story.number("written"), "WONTPAY", "2026-02-19T00:00:00Z"),
        "illegal": decide(home, story.number("written"), "PENDING", "2026-02-20T00:00:00Z"),
        "too early": decide(home, story.number("held"), "PENDING", "2026-02-10T00:00:00Z"),
        "uncredited": decide(home, story.number("debtor"), "CANCELED", "2026-02-20T00:00:00Z"),
        "undated": home.command("state", story.number("debtor"), "WONTPAY", "--reason", "gone").output,
    }
    home.number(FEBRUARY)
    return story


@pytest.fixture(scope="module")
def home(story: Story) -> ProviderHome:
    return story.home


def test_an_issue_differs_from_its_draft_in_number_and_dates_only(story):
    invoices = story.home.generation("invoices/invoices", JANUARY).read()

    given = ("number", "issued_on", "due_on")
    assert invoices.drop(given).sort("payer_id").equals(story.drafts.drop(given))
    assert story.drafts.select(given).null_count().row(0) == (len(OWNERS),) * 3
    assert story.home.billing.settled("invoices/invoice_lines", Month.parse(JANUARY)).read().equals(story.lines)


def test_a_printed_issue_differs_from_its_draft_in_number_dates_and_mark_only(story):
    drafted, issued = (text.splitlines() for text in (story.preview, story.home.printed(story.number("prompt"))))

    assert sorted(set(drafted) - set(issued)) == []
    assert sorted(set(issued) - set(drafted)) == []


@pytest.mark.parametrize(
    ("payer", "states"),
    [
        ("debtor", ["PENDING"]),
        ("failing", ["PENDING", "PROCESSING", "PENDING"]),
        ("gifted", ["PENDING", "PAID"]),
        ("held", ["PENDING", "PAYMENTHELD"]),
        ("partial", ["PENDING"]),
        ("prompt", ["PENDING", "PAID"]),
        ("refunded", ["PENDING", "PAID", "REFUNDED"]),
        ("written", ["PENDING", "WONTPAY"]),
    ],
)
def test_payments_and_people_move_an_invoice(story, payer, states):
    assert story.states(payer) == states
    assert story.states(payer, JANUARY) == ["PENDING", "PAID"][: 1 + (payer == "gifted")]


@pytest.mark.parametrize(
    ("payer", "prepaid", "pending"),
    [("prompt", 74_40, 0), ("partial", 0, 74_40), ("held", 0, 74_40), ("debtor", 0, 74_40), ("failing", 0, 74_40),
     ("written", 0, 0), ("refunded", 0, 0)],
)  # fmt: skip
def test_the_next_month_starts_from_the_states(home, payer, prepaid, pending):
    statement = home.row("credits/credit_statements", FEBRUARY, payer_id=payer)

    assert (statement["prepaid_before_cents"], statement["pending_cents"]) == (prepaid, pending)
