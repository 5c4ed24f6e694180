"""Closes months up to their drafts and writes their tables as JSON lines, in a process of its own.

Usage: `python close_months.py FOLDER 2026-08..2026-09`; the environment names the home. Issuing is left out, and so are
the documents, which take most of the time and decide no figure.
"""

import sys
from pathlib import Path

import dagster as dg
from click.testing import CliRunner

from billing_pipeline.cli import main
from billing_pipeline.definitions import defs
from billing_pipeline.defs.invoices import ISSUED
from billing_pipeline.rules.period import parse_months

TABLES = (
    "usage/quarantine",
    "rating/charges",
    "rating/charge_shares",
    "rating/unusable",
    "credits/credit_statements",
    "credits/credit_lots",
    "credits/adjustments",
    "invoices/drafts",
    "invoices/invoice_lines",
    "invoices/parked_organisations",
)


def close(months: list[str]) -> None:
    """Materialise everything up to the drafts, month by month."""
    specs = defs().resolve_all_asset_specs()
    others = ("documents", "corrections", "exports", "interim")
    assets = [spec.key for spec in specs if spec.key.path[0] not in others and [*spec.key.path] not in ISSUED]
    tags = {"dagster/asset_partition_range_start": months[0], "dagster/asset_partition_range_end": months[-1]}
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    job = defs().resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.get() as instance:
        job.execute_in_process(asset_selection=assets, instance=instance, tags=tags, run_config=quiet)


def show(table: str, month: str) -> str:
    """What `billing show` prints."""
    shown = CliRunner().invoke(main, ["show", table, month, "--format", "jsonl"], catch_exceptions=False)
    if shown.exit_code:
        raise SystemExit(shown.output)
    return shown.stdout


if __name__ == "__main__":
    folder, months = Path(sys.argv[1]), [str(month) for month in parse_months(sys.argv[2])]
    close(months)
    for month in months:
        for table in TABLES:
            told = folder / month / f"{table}.jsonl"
            told.parent.mkdir(parents=True, exist_ok=True)
            told.write_text(show(table, month), encoding="utf-8")
