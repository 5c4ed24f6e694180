"""A closed month under another price list: what each organisation would pay more or less, with nothing published."""

import csv
import io
from collections.abc import Callable

import polars as pl
import pytest
from provider_home import ProviderHome

from billing_pipeline.documents.formatting import format_money

MARCH = "2026-03"


def landed_prices(home: ProviderHome) -> pl.DataFrame:
    return pl.read_parquet(home.folder / "landing" / "price_tiers" / "**/*.parquet", hive_partitioning=False)


@pytest.fixture(scope="module")
def asked(published: ProviderHome, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """What the command prints for a price list."""
    folder = tmp_path_factory.mktemp("prices")

    def ask(prices: pl.DataFrame, name: str, *options: str) -> str:
        file = folder / name
        prices.write_csv(file, datetime_format="%Y-%m-%dT%H:%M:%SZ") if name.endswith(".csv") else prices.write_parquet(
            file
        )
        command = published.command("whatif", MARCH, "--prices", str(file), *options)
        assert command.exit_code == 0, command.output
        return command.output

    return ask


@pytest.fixture(scope="module")
def state(published: ProviderHome) -> Callable[[], dict[str, bytes]]:
    """Every byte of the warehouse and the books."""

    def look() -> dict[str, bytes]:
        files = [path for path in (published.folder / "warehouse").rglob("*") if path.is_file()]
        return {str(path): path.read_bytes() for path in [*files, published.folder / "books.sqlite"]}

    return look


@pytest.fixture(scope="module")
def dearer(
    published: ProviderHome, asked: Callable[..., str], state: Callable, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, list[dict[str, str]], bool]:
    """Apps of size S at the double, no price for databases, one price below zero; as printed and as written."""
    before, output = state(), tmp_path_factory.mktemp("whatif") / "differences.csv"
    prices = (
        landed_prices(published)
        .filter(pl.col("slug") != "postgresql.xs_sml")
        .with_columns(
            unit_price=pl.when(slug="apps.s")
            .then(pl.lit("0.20"))
            .when(slug="apps.branch")
            .then(pl.lit("-1"))
            .otherwise("unit_price")
        )
        .drop("event_id", "source", "ingested_at", "is_deleted")
    )
    text = asked(prices, "dearer.csv", "--output", str(output))
    return text, list(csv.DictReader(io.StringIO(output.read_text()))), state() == before


def test_the_same_prices_make_no_difference(published, asked):
    rows = list(csv.DictReader(io.StringIO(asked(landed_prices(published), "same.parquet", "--format", "csv"))))

    assert {row["difference_cents"] for row in rows} == {"0"}
    charges = published.generation("rating/charges", MARCH).read()
    assert sum(int(row["then_cents"]) for row in rows) == charges["charge_cents"].sum() > 0


def test_another_price_changes_the_organisations_that_use_it_by_what_it_says(dearer):
    _, rows, _ = dearer
    by_slug = {(row["payer_id"], row["owner_id"], row["slug"]): row for row in rows}

    changed = by_slug["coupon", "coupon", "apps.s"]
    assert (changed["now_cents"], changed["then_cents"], changed["difference_cents"]) == ("120", "240", "120")
    assert by_slug["abroad", "abroad", "apps.first"]["difference_cents"] == "0"
    assert by_slug["coupon", "coupon", "one_shot"]["then_cents"] == "4000"


def test_the_differences_add_up_to_the_totals(dearer):
    text, rows, _ = dearer
    now, then = (sum(int(row[side]) for row in rows) for side in ("now_cents", "then_cents"))

    (total,) = (line for line in text.splitlines() if line.startswith("total"))
    assert total.split()[1:] == ["EUR", *(format_money(cents, "EUR") for cents in (now, then, then - now))]


def test_refused_prices_and_usage_without_a_price_are_listed(dearer):
    text, rows, _ = dearer

    assert "Refused prices: 1" in text
    assert "list.apps.branch  tier_shape  the tier from 0 has a negative price" in text
    assert "Usage without a usable price (lacking in `then`): 2" in text
    assert "branch  main  price_missing" in text
    assert "coupon  coupon  price_missing" in text
    assert {row["slug"]: row["then_cents"] for row in rows}["postgresql.xs_sml"] == "0"


def test_asking_publishes_nothing(dearer):
    assert dearer[2]


def test_a_file_that_is_no_price_list_is_refused(published, tmp_path):
    file = tmp_path / "no-prices.csv"
    file.write_text("price_id,amount\nlist.apps.s,1\n")

    command = published.command("whatif", MARCH, "--prices", str(file))

    assert command.exit_code == 1
    assert "is no price list (schema_missing): required columns are missing: basis" in command.output


def test_a_month_that_is_not_closed_says_so(published, tmp_path):
    file = tmp_path / "prices.parquet"
    landed_prices(published).write_parquet(file)

    command = published.command("whatif", "2026-04", "--prices", str(file))

    assert command.exit_code == 1
    assert "is not published" in command.output
