"""The shape of the asset graph: what is defined, what feeds what, and what the jobs run."""

import re
import subprocess
import sys
from collections.abc import Iterator

import dagster as dg
import pytest
import yaml

from billing_pipeline.definitions import defs
from billing_pipeline.defs.partitions import billing_month, running_month
from billing_pipeline.defs.rating import MARTS
from billing_pipeline.settings import REPOSITORY
from billing_pipeline.tables import rating as tables

STAGES = ("accounts", "usage", "rating", "interim", "credits", "invoices", "documents", "exports", "corrections")
ISSUED = {
    "invoices/invoices",
    "invoices/specific_invoices",
    "invoices/credit_notes",
    "invoices/reissued_invoices",
    "invoices/states",
}
JOURNAL = {"exports/journal"}
MONTH_DOCUMENTS = {"documents/month_documents"}
ONE_DOCUMENT = {"documents/invoice_documents"}
OF_ISSUED_MONTHS = {"corrections/differences"}
INTERIM = {"interim/drafts", "interim/lines", "interim/invoices", "documents/interim_documents"}


@pytest.fixture(scope="module")
def specs() -> dict[str, dg.AssetSpec]:
    return {spec.key.to_user_string(): spec for spec in defs().resolve_all_asset_specs()}


@pytest.fixture(scope="module")
def assets() -> list[dg.AssetsDefinition]:
    return [asset for asset in defs().resolve_asset_graph().assets_defs if asset.keys]


def selected(job: str) -> set[str]:
    return {key.to_user_string() for key in defs().resolve_job_def(job).asset_layer.selected_asset_keys}


def test_definitions_load_without_a_warning():
    load = (
        "import warnings, dagster\n"
        "warnings.simplefilter('error')\n"
        # Stated by Dagster of its own interfaces, and by what it imports; the versions are pinned.
        "warnings.filterwarnings('ignore', category=dagster.BetaWarning)\n"
        "warnings.filterwarnings('ignore', category=dagster.PreviewWarning)\n"
        "warnings.filterwarnings('ignore', category=dagster.SupersessionWarning)\n"
        "warnings.filterwarnings('ignore', category=DeprecationWarning)\n"
        "from billing_pipeline.definitions import defs\n"
        "defs().resolve_job_def('bill_month')\n"
    )
    loaded = subprocess.run([sys.executable, "-c", load], capture_output=True, text=True, check=False)

    assert (loaded.returncode, loaded.stdout, loaded.stderr) == (0, "", "")


def test_every_asset_belongs_to_the_stage_that_its_key_names(specs):
    assert {key.split("/")[0] for key in specs} == set(STAGES)
    assert {key: spec.group_name for key, spec in specs.items()} == {key: key.split("/")[0] for key in specs}


def test_every_description_says_last_what_one_row_is(specs):
    silent = [
        key
        for key, spec in specs.items()
        if not re.search(r"One row( per [^.]+)?\.$", (spec.description or "").split("\n\n")[0].strip())
    ]

    assert silent == []


def test_a_stage_feeds_only_later_stages(specs):
    # What the back office and the meters landed is counted and refused in one place.
    gathered = {"usage/file_receipts", "usage/quarantine", "usage/flags", "usage/late_arrivals"}
    backwards = [
        f"{dependency.asset_key.to_user_string()} -> {key}"
        for key, spec in specs.items()
        for dependency in spec.deps
        if _place(dependency.asset_key.to_user_string()) > _place(key)
        or (_place(dependency.asset_key.to_user_string()) == 0 and key.startswith("usage/") and key not in gathered)
    ]

    assert backwards == []


def _place(key: str) -> int:
    return STAGES.index(key.split("/")[0])


def test_every_monthly_asset_runs_a_range_of_months_as_one_run(assets):
    monthly = [asset for asset in assets if asset.partitions_def in (billing_month, running_month)]

    assert {key.to_user_string() for asset in assets for key in asset.keys} - {
        key.to_user_string() for asset in monthly for key in asset.keys
    } == ONE_DOCUMENT
    assert {asset.backfill_policy for asset in monthly} == {dg.BackfillPolicy.single_run()}


def test_closing_makes_everything_up_to_drafts_and_their_documents(specs):
    assert selected("close_month") == set(specs) - ISSUED - JOURNAL - ONE_DOCUMENT - OF_ISSUED_MONTHS - INTERIM


def test_issuing_makes_the_invoices_their_documents_and_the_journal_alone():
    assert selected("issue_month") == ISSUED | MONTH_DOCUMENTS | JOURNAL


def test_billing_makes_everything_but_single_documents(specs):
    assert selected("bill_month") == set(specs) - ONE_DOCUMENT - OF_ISSUED_MONTHS - INTERIM


def test_interim_invoices_are_made_while_the_month_runs_and_nothing_else_is(assets):
    assert selected("bill_periods") == INTERIM
    running = [asset for asset in assets if asset.partitions_def == running_month]
    assert {key.to_user_string() for asset in running for key in asset.keys} == INTERIM


def test_correcting_rates_again_and_touches_nothing_that_was_issued():
    assert selected("correct_month") == OF_ISSUED_MONTHS


def test_every_equation_stops_what_comes_after_it():
    checks = [spec for asset in defs().resolve_asset_graph().assets_defs for spec in asset.check_specs]

    assert checks
    warnings = {spec.name for spec in checks if not spec.blocking and spec.asset_key.path[0] != "rating"}
    assert warnings == {"usage_has_an_owner", "nothing_is_flagged", "fees_are_steady"}


def _contracts() -> Iterator[tuple[str, list[str]]]:
    for file in sorted((REPOSITORY / "dbt_project" / "models" / "marts").glob("*.yml")):
        for model in yaml.safe_load(file.read_text())["models"]:
            yield model["name"], [column["name"] for column in model["columns"]]


def test_every_published_mart_has_a_contract():
    assert {name for name, _ in _contracts()} == set(MARTS)


@pytest.mark.parametrize(("mart", "columns"), list(_contracts()))
def test_a_contract_lists_the_columns_of_its_table(mart, columns):
    table = getattr(tables, "".join(part.title() for part in mart.split("_")))

    assert sorted(columns) == sorted(table.column_names())
