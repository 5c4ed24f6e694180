"""An issued month is computed once more from what it was computed from: it is the same, or what differs is named."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from click.testing import Result
from provider_home import ProviderHome, at, ran

from billing_pipeline.defs.rebuilding import NotRebuildable, rebuild
from billing_pipeline.rules.period import Month, parse_months
from billing_pipeline.sample.provider import write_sample
from billing_pipeline.warehouse import Warehouse

JANUARY, FEBRUARY, MARCH = "2026-01", "2026-02", "2026-03"


@dataclass
class Story:
    """What was printed when February was rebuilt, and what the home held then."""

    home: ProviderHome
    printed: dict[str, Result] = field(default_factory=dict)
    held: list[dict[str, str]] = field(default_factory=list)

    def rebuild(self, name: str, month: str) -> None:
        self.printed[name] = self.home.command("rebuild", month)
        self.held.append(self.home.checksums())


@pytest.fixture(scope="module")
def story(beside: ProviderHome, new_home: Callable[..., ProviderHome]) -> Story:
    """February as it was; then a raw file appears in a day that it had counted."""
    home = new_home("rebuild", of=beside)
    story = Story(home, held=[home.checksums()])
    story.rebuild("as it was", FEBRUARY)
    home.land("runtime_intervals", ran("welcome", "apps.s", at("2026-02-05"), at("2026-02-06"), instance_id="new"))
    story.rebuild("with another file", FEBRUARY)
    story.rebuild("not issued", MARCH)
    return story


def test_a_month_is_the_same_byte_for_byte(story):
    printed = story.printed["as it was"]

    assert printed.exit_code == 0, printed.output
    tables = {key for key in story.held[0] if f"month={FEBRUARY}" in key}
    told = re.fullmatch(
        rf"{FEBRUARY} as of 2026-03-03T00:00:00Z, code version [0-9a-f]{{16}}: (\d+) tables of (\d+) files and "
        r"(\d+) files of documents made again, 0 differences\.\n",
        printed.output,
    )
    assert told, printed.output
    # HTML, PDF and XML of three monthly invoices and one beside them.
    assert [int(count) for count in told.groups()] == [len({key.split()[0] for key in tables}), len(tables), 12]


def test_rebuilding_changes_nothing_and_leaves_nothing(story):
    assert all(held == story.held[0] for held in story.held)
    assert list((story.home.folder / "work").iterdir()) == []


def test_what_differs_is_named_and_ends_with_an_error(story):
    printed = story.printed["with another file"]

    assert printed.exit_code == 1
    for file in (
        "usage/runtime_intervals events.parquet",
        "rating/charges rows.parquet",
        "invoices/drafts rows.parquet",
    ):
        assert f"  {file}: " in printed.output
    assert re.search(
        r"  rating/runs rows\.parquet: \d+ rows, now \d+; sha256 [0-9a-f]{16}, now [0-9a-f]{16}", printed.output
    )
    assert "INV-2026-000009.pdf: is not the document that is in the books" in printed.output
    assert "INV-2026-000008" not in printed.output


def test_a_month_that_is_not_issued_names_the_command(story):
    assert story.printed["not issued"].exit_code == 1
    assert "2026-03 is not issued; it is computed anew by: billing close 2026-03" in story.printed["not issued"].output


def test_a_month_of_other_code_is_refused_with_both_versions(story):
    billing = story.home.billing
    other = replace(billing, warehouse=Warehouse(billing.warehouse.root, code_version="f" * 64))

    with pytest.raises(NotRebuildable) as refused:
        rebuild(other, Month.parse(FEBRUARY), [])

    assert f"computed by code version {billing.warehouse.code_version}, this is {'f' * 64}" in str(refused.value)


@pytest.mark.slow
def test_a_year_of_the_sample_is_the_same_month_by_month(new_home):
    home = new_home("year")
    months = [str(month) for month in parse_months("2026-01..2026-12")]
    write_sample(home.folder / "landing", organisations=12, first=Month.parse(months[0]), months=12)
    home.bill(f"{months[0]}..{months[-1]}")

    printed = {month: home.command("rebuild", month).output for month in months}

    assert [month for month, output in printed.items() if ", 0 differences." not in output] == []
