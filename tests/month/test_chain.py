"""Months form a chain: each settles on the one before, and whoever breaks the order is told which command mends it."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from provider_home import ProviderHome, at, hourly, one_shot, organisation, payment, ran

from billing_pipeline.console.running import RunFailed

JANUARY, FEBRUARY = "2026-01", "2026-02"
HOURS = {JANUARY: 744, FEBRUARY: 672}

#: Months of usage land on one day, long after they ended; a late row follows.
LANDED, KNOWN, LATE_KNOWN = at("2026-06-10"), at("2026-06-11"), at("2026-06-25")


def refusal(run: Callable[..., None], *arguments: str, **options: object) -> str:
    """Why a run stopped; it must."""
    with pytest.raises(RunFailed) as stopped:
        run(*arguments, **options)
    return str(stopped.value)


def state_of_january(home: ProviderHome) -> tuple[dict, dict, list]:
    """Everything of an issued month that billing it again must leave alone: generations, documents' bytes, numbers."""
    numbers = [(issued.number, issued.issued_on) for issued in home.billing.books.issued() if issued.serial <= 3]
    documents = home.folder / "documents" / home.billing.settings.series
    return (
        {table: generation.id for (table, key), generation in home.published().items() if key == f"month={JANUARY}"},
        {
            file.name: file.read_bytes()
            for file in documents.iterdir()
            if any(number in file.name for number, _ in numbers)
        },
        numbers,
    )


@dataclass
class Story:
    """What happened while two months were billed in every wrong order, then in the right one."""

    home: ProviderHome
    refusals: dict[str, str] = field(default_factory=dict)
    #: January when it was issued, and after it was closed and issued once more.
    before: tuple[dict, dict, list] = ({}, {}, [])
    after: tuple[dict, dict, list] = ({}, {}, [])


@pytest.fixture(scope="module")
def story(new_home: Callable[..., ProviderHome]) -> Story:
    """Every owner runs one instance all the time; two of them something without a price, too."""
    home = new_home("chain")
    owners = ("debtor", "misused", "prompt", "stranger", "unpriced")
    abroad = {"stranger": {"country": "DE", "postcode": "10115", "city": "Berlin"}}
    home.land("organisations", *(organisation(owner, **abroad.get(owner, {})) for owner in owners), known_at=LANDED)
    home.land("price_tiers", hourly("apps.s", "0.10"), known_at=LANDED)
    home.land(
        "runtime_intervals",
        *(ran(owner, "apps.s", at("2026-01-01"), None, ingested_at=LANDED) for owner in owners),
        ran("unpriced", "apps.exotic", at("2026-01-05"), at("2026-01-06"), ingested_at=LANDED),
        ran("misused", "apps.exotic", at("2026-02-05"), at("2026-02-06"), ingested_at=LANDED),
    )
    # 744 hours and as much in advance, with VAT.
    home.land("payments", payment("prompt", "prompt/2026-01", "178.56", at("2026-06-09"), ingested_at=LANDED))
    late = one_shot("debtor", "Help", "5.00", at("2026-01-20"), ingested_at=at("2026-06-20"))
    home.land("one_shots", late)

    story = Story(home)
    refused = story.refusals
    refused["nothing seen"] = refusal(home.close, JANUARY)
    home.draft(f"{JANUARY}..{FEBRUARY}", as_of=KNOWN)
    refused["month left out"] = refusal(home.close, "2026-04", as_of=KNOWN)
    refused["before the first"] = refusal(home.close, "2025-12", as_of=KNOWN)
    refused["as of too early"] = refusal(home.close, FEBRUARY, as_of=at("2026-06-10T12:00"))
    refused["issued too early"] = refusal(home.issue, FEBRUARY, as_of=KNOWN)
    home.draft(JANUARY, as_of=LATE_KNOWN)
    home.issue(JANUARY, as_of=LATE_KNOWN)
    refused["basis changed"] = refusal(home.issue, FEBRUARY, as_of=LATE_KNOWN)
    story.before = state_of_january(home)
    home.bill(f"{JANUARY}..{FEBRUARY}", as_of=LATE_KNOWN)
    story.after = state_of_january(home)
    return story


@pytest.fixture(scope="module")
def home(story: Story) -> ProviderHome:
    return story.home


def test_a_month_that_sees_none_of_the_usage_that_landed_names_the_as_of_that_helps(story):
    message = story.refusals["nothing seen"]

    assert "2026-01 sees no usage as of 2026-02-03T00:00:00Z" in message
    # The day of the newest file: the late row is usage, too.
    assert "--as-of 2026-06-21T00:00:00Z" in message


def test_a_month_whose_predecessor_was_never_closed_says_which_one_to_close(story):
    message = story.refusals["month left out"]

    assert "2026-04 settles on 2026-03, which was never closed" in message
    assert "billing close 2026-03" in message


def test_a_month_before_the_first_one_is_refused(story):
    message = story.refusals["before the first"]

    assert "2025-12 lies before 2026-01, the first month billed in this home" in message


def test_a_month_never_sees_less_than_its_predecessor_saw(story):
    message = story.refusals["as of too early"]

    assert "2026-02 would be closed as of 2026-06-10T12:00:00Z, before 2026-01" in message
    assert "--as-of 2026-06-11T00:00:00Z or later" in message


def test_a_month_is_not_issued_before_its_predecessor(story):
    message = story.refusals["issued too early"]

    assert "2026-02 is issued after 2026-01, which is not issued yet" in message
    assert "billing issue 2026-01" in message


def test_a_draft_that_was_settled_on_other_figures_is_not_issued(story):
    message = story.refusals["basis changed"]

    assert message.startswith("DraftOutdated: 1 drafts of 2026-02, e.g. of debtor")
    assert "billing close 2026-02" in message


def test_numbers_run_without_a_gap_over_months_and_refused_runs(home):
    issued = [(document.number, document.request.payer_id) for document in home.billing.books.issued()]

    payers = ["debtor", "misused", "prompt", "debtor", "prompt"]
    assert issued == [(f"INV-2026-{serial:06d}", payer) for serial, payer in enumerate(payers, 1)]


def test_closing_and_issuing_an_issued_month_again_changes_nothing(story):
    generations, documents, numbers = story.before

    assert story.after == (generations, documents, numbers)
    assert {"rating/charges", "credits/credit_statements", "invoices/invoices"} < generations.keys()
    assert documents.keys() == {f"{number}.{form}" for number, _ in numbers for form in ("html", "pdf", "xml")}


def test_history_that_landed_at_once_is_billed_month_by_month(home):
    fees = {
        (month, invoice["payer_id"]): invoice["fees_cents"]
        for month in HOURS
        for invoice in home.rows("invoices/invoices", month)
    }

    steady = {(month, payer): hours * 10 for month, hours in HOURS.items() for payer in ("debtor", "prompt")}
    assert fees == steady | {(JANUARY, "debtor"): 79_40, (JANUARY, "misused"): 74_40}


def test_usage_without_a_price_parks_its_payer_and_nobody_else(home):
    assert home.reasons(JANUARY) == {"unpriced": "price_missing", "stranger": "tax_unknown"}
    parked = home.row("invoices/parked_organisations", JANUARY, payer_id="unpriced")
    assert "apps.exotic" in parked["detail"]


def test_a_parked_payer_stays_parked_next_month_whatever_it_used(home):
    assert home.reasons(FEBRUARY) == {
        "misused": "price_missing",
        "stranger": "predecessor_parked",
        "unpriced": "predecessor_parked",
    }
    assert {row["payer_id"] for row in home.rows("invoices/drafts", FEBRUARY)} == {"debtor", "prompt"}


def test_an_unpaid_refill_is_pending_and_not_asked_for_twice(home):
    statements = {
        month: home.row("credits/credit_statements", month, payer_id="debtor") for month in (JANUARY, FEBRUARY)
    }

    assert statements[JANUARY]["refill_cents"] == 74_40
    assert statements[FEBRUARY]["prepaid_before_cents"] == 0
    assert statements[FEBRUARY]["pending_cents"] == 74_40
    assert statements[FEBRUARY]["refill_cents"] == 0
    assert home.row("invoices/invoices", FEBRUARY, payer_id="debtor")["subtotal_cents"] == 67_20


def test_a_paid_refill_becomes_the_prepaid_balance(home):
    february = home.row("credits/credit_statements", FEBRUARY, payer_id="prompt")

    assert (february["prepaid_before_cents"], february["pending_cents"]) == (74_40, 0)
    assert (february["prepaid_used_cents"], february["refill_cents"]) == (-67_20, 60_00)
    (settled,) = home.rows("credits/credit_movements", FEBRUARY, payer_id="prompt", kind="settled")
    assert (settled["grant_id"], settled["amount_cents"]) == (JANUARY, 74_40)
