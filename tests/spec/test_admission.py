"""Whose usage counts: of organisations that are known, until they close."""

from datetime import UTC, datetime

import polars as pl

from billing_pipeline.rules.admission import judge_usage
from billing_pipeline.rules.period import microseconds
from billing_pipeline.tables.accounts import Owners

CLOSES = datetime(2026, 10, 20, tzinfo=UTC)
OWNERS = pl.DataFrame(
    [("acme", None, False), ("gone", CLOSES, False)], schema=Owners.create_empty().schema, orient="row"
)


def test_usage_counts_until_its_owner_closes_and_nobody_unknown_is_billed():
    closes = microseconds(CLOSES)
    used = [("gone", closes), ("acme", closes), ("who", closes), ("gone", closes - 1), ("gone", closes + 1)]
    schema = {"owner_id": pl.String, "at_us": pl.Int64}

    judged = judge_usage(pl.DataFrame(used, schema=schema, orient="row"), OWNERS)

    assert judged.columns == ["owner_id", "at_us", "reason"]
    assert judged["owner_id"].to_list() == [owner for owner, _ in used]
    assert judged["reason"].to_list() == ["after_close", None, "org_unknown", None, "after_close"]
