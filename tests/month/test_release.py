"""A parked payer is released once its cause is mended: billed like everyone else, while nobody else's bill changes."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date

import pytest
from click.testing import Result
from provider_home import ProviderHome, at, grant, hourly, organisation, ran

from billing_pipeline.definitions import defs
from billing_pipeline.defs.releases import NotReleasable, _number, release, rerate
from billing_pipeline.rules.period import Month

JANUARY, FEBRUARY, MARCH = "2026-01", "2026-02", "2026-03"
#: Apps all month at 0.10, and a day of what had no price, at 1.00.
FEES = {JANUARY: 744 * 10 + 24 * 100, FEBRUARY: 672 * 10, MARCH: 744 * 10}
RELEASED = ("forgotten", "unpriced")


@dataclass
class Story:
    """What was printed while parked payers were released, and what others had on paper before and after."""

    home: ProviderHome
    printed: dict[str, Result] = field(default_factory=dict)
    papers: list[dict[str, bytes]] = field(default_factory=list)
    others: list[list[dict]] = field(default_factory=list)
    interrupted: str = ""
    refusal: str = ""

    def release(self, name: str, *arguments: str) -> None:
        self.printed[name] = self.home.command("release", *arguments)

    def interrupt(self, payer: str, faulty: str, month: str) -> None:
        """What a release leaves that was killed right after the number was given; one that is faulty gets none."""
        with self.home.environment():
            later = replace(self.home.billing, chosen_as_of=at("2026-04-11"), chosen_issue_date=date(2026, 4, 12))
            aside = rerate(later, Month.parse(month), list(defs().assets or []))
            with pytest.raises(NotReleasable) as refused:
                release(later, aside, faulty, Month.parse(month))
            self.refusal = str(refused.value)
            self.interrupted = str(_number(aside, payer, Month.parse(month))["number"][0])

    def look(self) -> None:
        """Keep what the payers who were never parked have."""
        folder = self.home.folder / "documents" / "INV"
        steady = {
            issued.number for issued in self.home.billing.books.issued() if issued.request.payer_id not in RELEASED
        }
        self.papers.append({file.name: file.read_bytes() for file in folder.iterdir() if file.stem in steady})
        self.others.append(
            [
                row
                for table in ("invoices/invoices", "invoices/invoice_lines", "credits/credit_statements")
                for month in (JANUARY, FEBRUARY)
                for row in self.home.rows(table, month)
                if row["payer_id"] not in RELEASED
            ]
        )


@pytest.fixture(scope="module")
def story(new_home: Callable[..., ProviderHome]) -> Story:
    """Everyone runs one instance all the time; two of them for a day something that has no price yet."""
    home = new_home("release")
    home.land(
        "organisations",
        *(organisation(owner) for owner in ("late", "steady", "unpriced")),
        organisation("branch", payer_id="unpriced"),
        organisation("stranger", country="DE", postcode="10115", city="Berlin"),
    )
    home.land("price_tiers", hourly("apps.s", "0.10"))
    home.land("credit_grants", grant("steady", "steady-20", "20.00"), grant("unpriced", "unpriced-20", "20.00"))
    fifth, sixth = at("2026-01-05"), at("2026-01-06")
    home.land(
        "runtime_intervals",
        *(ran(owner, "apps.s", at("2026-01-01"), None) for owner in ("late", "steady", "stranger", "unpriced")),
        ran("late", "apps.rare", at("2026-03-05"), at("2026-03-06")),
        ran("branch", "apps.exotic", fifth, sixth),
        ran("forgotten", "apps.s", fifth, sixth),
    )
    story = Story(home)
    home.bill(f"{JANUARY}..{FEBRUARY}")
    home.draft(MARCH)
    story.look()
    home.land("price_tiers", hourly("apps.exotic", "1.00"), known_at=at("2026-04-10"))
    home.land("organisations", organisation("forgotten"), known_at=at("2026-04-10"))
    story.release("not parked", "steady", JANUARY)
    story.release("unknown", "nobody", JANUARY)
    story.release("a branch", "branch", JANUARY)
    story.release("out of order", "unpriced", FEBRUARY)
    story.interrupt("unpriced", "stranger", JANUARY)
    story.release("January", "unpriced", JANUARY, "--as-of", "2026-04-30")
    story.release("once more", "unpriced", JANUARY)
    story.release("February", "unpriced", FEBRUARY, "--as-of", "2026-04-12")
    story.release("nobody knew it", "forgotten", JANUARY, "--as-of", "2026-04-12")
    story.release("issued without it", "forgotten", FEBRUARY, "--as-of", "2026-04-12")
    story.look()
    home.land("price_tiers", hourly("apps.rare", "1.00"), known_at=at("2026-04-12"))
    story.release("before the issue", "late", MARCH)
    home.issue(f"{JANUARY}..{MARCH}", as_of=at("2026-04-13"))
    story.look()
    return story


@pytest.fixture(scope="module")
def home(story: Story) -> ProviderHome:
    return story.home


def test_before_the_issue_a_release_closes_the_month_again(story, home):
    printed = story.printed["before the issue"]

    assert printed.exit_code == 0, printed.output
    assert "2026-03 is closed again as of 2026-04-13T00:00:00Z; late is billed in it" in printed.output
    assert home.row("invoices/invoices", MARCH, payer_id="late")["fees_cents"] == FEES[MARCH] + 24 * 100


def test_after_the_issue_a_release_gives_the_next_number_and_the_document(story, home):
    printed = story.printed["January"]

    assert printed.exit_code == 0, printed.output
    assert "INV-2026-000005 of unpriced for 2026-01 asks for" in printed.output
    assert "Next: billing release unpriced 2026-02" in printed.output
    issued = home.row("invoices/invoices", JANUARY, payer_id="unpriced")
    assert (issued["number"], issued["issued_on"], issued["fees_cents"]) == (
        "INV-2026-000005", date(2026, 4, 12), FEES[JANUARY],
    )  # fmt: skip
    assert "INV-2026-000005" in home.printed("INV-2026-000005")


@pytest.mark.parametrize("month", [JANUARY, FEBRUARY, MARCH])
def test_a_released_payer_is_billed_in_every_month_what_it_used(home, month):
    assert home.row("invoices/invoices", month, payer_id="unpriced")["fees_cents"] == FEES[month]
    assert home.reasons(month) == {"stranger": "tax_unknown" if month == JANUARY else "predecessor_parked"}


def test_the_months_after_settle_on_the_released_statement(home):
    january, february, march = (
        home.row("credits/credit_statements", month, payer_id="unpriced") for month in (JANUARY, FEBRUARY, MARCH)
    )

    assert (january["free_used_cents"], january["refill_cents"]) == (-20_00, FEES[JANUARY])
    assert (february["free_before_cents"], february["pending_cents"]) == (0, january["refill_cents"])
    assert march["pending_cents"] == january["refill_cents"] + february["refill_cents"]


def test_an_organisation_that_nobody_knew_is_released_once_it_landed(story, home):
    assert "INV-2026-000007 of forgotten for 2026-01 asks for" in story.printed["nobody knew it"].output
    assert home.row("invoices/invoices", JANUARY, payer_id="forgotten")["fees_cents"] == 24 * 10
    refused = home.rows("usage/quarantine", JANUARY, reason="org_unknown")
    assert len(refused) == 1


def test_months_that_were_issued_without_it_follow_so_that_its_refill_is_not_lost(story, home):
    assert "Next: billing release forgotten 2026-02" in story.printed["nobody knew it"].output
    assert "2026-02" in story.printed["issued without it"].output
    pending = [
        home.row("credits/credit_statements", month, payer_id="forgotten")["pending_cents"]
        for month in (FEBRUARY, MARCH)
    ]
    refill = home.row("credits/credit_statements", JANUARY, payer_id="forgotten")["refill_cents"]
    assert pending == [refill, refill] == [24 * 10, 24 * 10]


def test_a_payer_is_released_month_by_month_in_order(story):
    assert "billing release unpriced 2026-01" in story.printed["out of order"].output
    assert "2026-02 asks for" in story.printed["February"].output
    assert "Next: billing close 2026-03 --as-of 2026-04-12T00:00:00Z" in story.printed["February"].output


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("not parked", "steady is not parked in 2026-01"),
        ("unknown", "nobody is not parked in 2026-01"),
        ("a branch", "branch does not pay for itself in 2026-01; release who pays: unpriced"),
        ("once more", "unpriced is not parked in 2026-01"),
    ],
)
def test_a_release_that_cannot_be_says_why(story, name, reason):
    assert story.printed[name].exit_code == 1
    assert re.search(reason, story.printed[name].output)


def test_who_is_still_faulty_is_not_released(story):
    assert re.match(r"stranger still cannot be billed for 2026-01: tax_unknown \(", story.refusal)


def test_invoices_that_were_issued_before_a_release_do_not_change(story):
    before, released, after = story.papers
    # HTML, PDF and XML of two invoices in either month.
    assert len(before) == 3 * 4
    assert {name: released[name] for name in before} == before
    assert {name: after[name] for name in before} == before
    assert story.others[0] == story.others[1] == story.others[2]


def test_numbers_have_no_gap_whatever_was_released_in_between(story, home):
    numbers = [issued.number for issued in home.billing.books.issued()]

    assert numbers == [f"INV-2026-{serial:06d}" for serial in range(1, len(numbers) + 1)]
    assert story.interrupted == "INV-2026-000005"


def test_a_release_that_stopped_after_its_number_goes_on_with_it(home):
    issued = home.row("invoices/invoices", JANUARY, payer_id="unpriced")

    # Whatever was asked for when it went on.
    assert (issued["number"], issued["issued_on"]) == ("INV-2026-000005", date(2026, 4, 12))


def test_a_released_line_is_explained_by_its_own_price_and_rows(home):
    (line,) = home.rows("invoices/invoice_lines", JANUARY, payer_id="unpriced", slug="apps.exotic")

    explained = home.command("explain", "INV-2026-000005", str(line["line_number"])).output

    assert "price version list.apps.exotic" in explained
    assert re.search(r"branch-apps-exotic 2026-01-05T\S+ \.\. 2026-01-06T.* runtime_intervals/\S+ row \d+", explained)
    assert "as of 2026-04-11T00:00:00Z" in explained


def test_the_books_hold_after_releases(home):
    home.billing.books.verify()


def test_a_released_payer_is_added_to_the_journal_of_its_month(home):
    january = home.generation("exports/journal", JANUARY).read()
    numbers = dict(january.filter(kind="invoice").select("piece", "entry_number").unique().iter_rows())

    # Its entry follows those of February, which were written down before.
    released = [issued.number for issued in home.billing.books.issued(Month.parse(JANUARY)) if issued.serial >= 5]
    assert {numbers[number] for number in released} == {5, 7}
    assert sorted(set(numbers.values()) - {5, 7}) == [1, 2]
