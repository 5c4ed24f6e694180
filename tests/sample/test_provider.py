"""The sample provider: the same every time, valid where it must be, and with the story that it promises."""

import hashlib
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from stdnum import iban
from stdnum.ch import uid
from stdnum.eu import vat
from stdnum.fr import siren

from billing_pipeline.rules.period import Month
from billing_pipeline.sample.landing import FEEDS
from billing_pipeline.sample.organisations import TooFewOrganisations
from billing_pipeline.sample.provider import SampleSummary, seller, write_sample

AUGUST = Month(2026, 8)
NATURAL_KEYS = {
    "runtime_intervals": ["instance_id", "started_at"],
    "storage_samples": ["resource_id", "metric", "sampled_at"],
    "traffic_deltas": ["resource_id", "metric", "started_at"],
    "unit_counts": ["resource_id", "metric", "sampled_at"],
    "organisations": ["owner_id", "valid_from"],
    "price_tiers": ["price_id", "tier_from"],
    "credit_grants": ["grant_id"],
    "refill_agreements": ["owner_id", "billing_month"],
    "payments": ["payment_id"],
}


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> SampleSummary:
    return write_sample(tmp_path_factory.mktemp("sample"), first=AUGUST)


def arrivals(sample: SampleSummary, feed: str) -> pl.DataFrame:
    return pl.read_parquet(sample.landing / feed / "**/*.parquet", hive_partitioning=True)


def newest(sample: SampleSummary, feed: str) -> pl.DataFrame:
    return arrivals(sample, feed).sort("ingested_at").unique(NATURAL_KEYS[feed], keep="last", maintain_order=True)


def customers(sample: SampleSummary) -> pl.DataFrame:
    return newest(sample, "organisations").unique("owner_id", keep="last", maintain_order=True)


def digests(landing: Path) -> dict[str, str]:
    return {
        str(path.relative_to(landing)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in landing.rglob("*.parquet")
    }


def test_another_process_with_another_hash_order_writes_the_same_bytes(tmp_path: Path) -> None:
    write_sample(tmp_path / "here", organisations=12, first=AUGUST, months=2)
    script = (
        "import sys; from pathlib import Path; from billing_pipeline.rules.period import Month\n"
        "from billing_pipeline.sample.provider import write_sample\n"
        "write_sample(Path(sys.argv[1]), organisations=12, first=Month(2026, 8), months=2)"
    )
    environment = os.environ | {"PYTHONHASHSEED": "4711", "PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "there")], env=environment, check=True)
    assert digests(tmp_path / "here") == digests(tmp_path / "there")


def test_another_seed_is_another_provider(tmp_path: Path, sample: SampleSummary) -> None:
    other = write_sample(tmp_path, first=AUGUST, seed=1)
    assert other.payers != sample.payers


def test_a_sample_too_small_for_its_story_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TooFewOrganisations, match="12"):
        write_sample(tmp_path, organisations=11, first=AUGUST)


def test_one_month_is_told_without_the_organisation_that_opens_later(tmp_path: Path) -> None:
    one_month = write_sample(tmp_path, organisations=12, first=AUGUST, months=1)
    assert one_month.opened not in one_month.payers
    assert one_month.opened not in set(arrivals(one_month, "organisations")["owner_id"])
    assert one_month.opened not in set(arrivals(one_month, "runtime_intervals")["owner_id"])
    assert one_month.rows["refill_agreements"] == one_month.rows["payments"] == 0


def test_the_seller_has_numbers_whose_checksums_hold() -> None:
    assert vat.is_valid(seller().vat_number)
    assert siren.is_valid(seller().legal_id)
    assert iban.is_valid(seller().iban)


def test_every_business_of_the_union_has_a_valid_vat_number_and_nobody_else_has_one(sample: SampleSummary) -> None:
    for customer in customers(sample).iter_rows(named=True):
        if customer["kind"] == "business" and customer["country"] in ("FR", "DE", "IT", "ES"):
            assert vat.is_valid(customer["vat_number"]), customer
            assert customer["vat_number"].startswith(customer["country"])
        else:
            assert customer["vat_number"] is None


def test_every_french_siren_and_swiss_uid_is_valid(sample: SampleSummary) -> None:
    businesses = customers(sample).filter(pl.col("kind") == "business")
    assert all(siren.is_valid(number) for number in businesses.filter(pl.col("country") == "FR")["legal_id"])
    assert all(uid.is_valid(number) for number in businesses.filter(pl.col("country") == "CH")["legal_id"])


def test_forty_organisations_of_several_countries_eight_of_which_others_pay_for(sample: SampleSummary) -> None:
    organisations = customers(sample)
    assert organisations.height == 40
    assert organisations["payer_id"].count() == 8
    assert organisations["payer_id"].drop_nulls().n_unique() == 3
    assert set(organisations["country"]) == {"FR", "DE", "IT", "ES", "US", "CH", "BE", "GF"}
    assert organisations.filter(pl.col("payer_id").is_null())["name"].is_unique().all()
    assert set(sample.payers) == set(organisations.filter(pl.col("payer_id").is_null())["owner_id"])


def test_rows_are_counted_and_land_on_the_day_they_are_taken_in_or_once_more_on_the_next(
    sample: SampleSummary,
) -> None:
    assert set(sample.rows) <= set(FEEDS)
    for feed in sample.rows:
        landed = arrivals(sample, feed)
        assert landed.height == sample.rows[feed]
        waited = (landed["arrival_date"].cast(pl.Date) - landed["ingested_at"].dt.date()).dt.total_days()
        assert set(waited) <= {0, 1}
        assert landed["arrival_date"].cast(pl.Date).is_between(sample.first_arrival, sample.last_arrival).all()


def test_a_row_that_is_sent_again_is_the_same_row(sample: SampleSummary) -> None:
    copies = 0
    for feed in sample.rows:
        landed = arrivals(sample, feed).drop("arrival_date")
        events = landed.unique()
        assert events.select("source", "event_id").is_unique().all()
        copies += landed.height - events.height
    assert copies == sample.duplicate_rows > 0


@pytest.mark.parametrize("feed", sorted(NATURAL_KEYS))
def test_nobody_is_parked_because_two_versions_of_a_row_are_equally_new(sample: SampleSummary, feed: str) -> None:
    events = arrivals(sample, feed).drop("arrival_date").unique()
    assert events.select(*NATURAL_KEYS[feed], "ingested_at").is_unique().all()


def test_each_kind_of_broken_row_is_there_and_counted(sample: SampleSummary) -> None:
    runs, sizes, deltas = (
        arrivals(sample, feed) for feed in ("runtime_intervals", "storage_samples", "traffic_deltas")
    )
    broken = (
        runs.filter(pl.col("stopped_at") < pl.col("started_at")),
        sizes.filter(pl.col("bytes") < 0),
        deltas.filter(~pl.col("owner_id").str.contains(r"^[A-Za-z0-9_-]{1,64}$")),
    )
    assert all(rows.height for rows in broken)
    assert sum(rows.height for rows in broken) == sample.broken_rows


def test_some_late_rows_arrive_before_their_month_is_closed_and_some_after(sample: SampleSummary) -> None:
    closed = arrivals(sample, "runtime_intervals").filter(
        pl.col("stopped_at").is_not_null() & (pl.col("arrival_date").cast(pl.Date) > sample.first_arrival)
    )
    late = closed.filter(pl.col("ingested_at") - pl.col("stopped_at") > timedelta(hours=1, minutes=50))
    closing = pl.col("stopped_at").dt.month_start().dt.offset_by("1mo").dt.date() + timedelta(days=2)
    after = late.filter(pl.col("arrival_date").cast(pl.Date) >= closing)
    assert 0 < after.height < late.height


def test_databases_run_on_over_months_until_a_row_closes_them(sample: SampleSummary) -> None:
    databases = newest(sample, "runtime_intervals").filter(pl.col("service").is_in(["postgresql", "mysql", "redis"]))
    assert databases["stopped_at"].null_count() > 0
    closed = databases.filter(pl.col("stopped_at") - pl.col("started_at") > timedelta(days=31))
    assert closed.height > 0
    reports = arrivals(sample, "runtime_intervals").join(closed, on=["instance_id", "started_at"], how="semi")
    assert reports["stopped_at"].null_count() > 0


def test_some_instances_overlap_with_themselves(sample: SampleSummary) -> None:
    runs = newest(sample, "runtime_intervals").filter(~pl.col("is_deleted")).sort("instance_id", "started_at")
    reached = pl.col("stopped_at").shift(1).over("instance_id")
    overlapping = runs.filter((pl.col("started_at") < reached) & (pl.col("stopped_at") > pl.col("started_at")))
    assert 0 < overlapping.height < runs.height / 50


def test_usage_lies_between_opening_and_closing(sample: SampleSummary) -> None:
    runs = newest(sample, "runtime_intervals").filter(pl.col("stopped_at") > pl.col("started_at"))
    opened_at = datetime(2026, 9, 10, tzinfo=UTC)
    closed_at = datetime(2026, 9, 20, tzinfo=UTC)
    assert (runs.filter(pl.col("owner_id") == sample.opened)["started_at"] >= opened_at).all()
    assert (runs.filter(pl.col("owner_id") == sample.closed)["stopped_at"] <= closed_at).all()
    assert newest(sample, "runtime_intervals").filter(pl.col("owner_id") == sample.closed)["stopped_at"].count() > 0
    closing = customers(sample).filter(pl.col("owner_id") == sample.closed)
    assert closing["closed_on"].to_list() == [closed_at.date()]


def test_one_consumer_lives_in_another_member_state_and_one_where_no_tax_was_decided(sample: SampleSummary) -> None:
    abroad = customers(sample).filter((pl.col("kind") == "consumer") & (pl.col("country") != "FR"))
    assert dict(abroad.select("owner_id", "country").iter_rows()) == {
        sample.oss_consumer: "BE",
        sample.tax_unknown: "GF",
    }


def test_every_slug_in_use_has_one_public_price_at_every_instant(sample: SampleSummary) -> None:
    public = arrivals(sample, "price_tiers").filter(pl.col("owner_id").is_null() & (pl.col("tier_from") == 0))
    runtime = arrivals(sample, "runtime_intervals").select(slug=pl.concat_str("service", pl.lit("."), "flavour"))
    metrics = [
        arrivals(sample, feed).select(slug="metric") for feed in ("storage_samples", "traffic_deltas", "unit_counts")
    ]
    in_use = set(pl.concat([runtime, *metrics])["slug"].str.to_lowercase())
    for instant in (sample.price_change_at - timedelta(microseconds=1), sample.price_change_at):
        valid = public.filter(
            (pl.col("valid_from") <= instant) & (pl.col("valid_to").is_null() | (pl.col("valid_to") > instant))
        )
        assert valid["slug"].is_unique().all()
        assert in_use <= set(valid["slug"])


def test_applications_change_their_price_in_the_middle_of_the_second_month(sample: SampleSummary) -> None:
    prices = arrivals(sample, "price_tiers").filter((pl.col("slug") == "apps.s") & pl.col("owner_id").is_null())
    assert prices.sort("valid_from").select("unit_price", "valid_to").rows() == [
        ("0.04000086", datetime(2026, 9, 15, tzinfo=UTC)),
        ("0.0444444444444444", None),
    ]


def test_a_contract_a_discount_and_agreed_refills_are_there(sample: SampleSummary) -> None:
    payers = customers(sample).filter(pl.col("payer_id").is_null())
    assert payers["price_factor"].drop_nulls().to_list() == ["0.9"]
    assert payers.filter(pl.col("discount_rate") == "0.05")["discount_reason"].to_list() == ["Programme partenaires"]
    agreed = arrivals(sample, "refill_agreements")
    assert sorted(agreed.select("billing_month", "amount").rows()) == [("2026-09", "0.00"), ("2026-09", "500.00")]


def test_coupons_expire_inside_the_months_and_some_pay_only_some_services(sample: SampleSummary) -> None:
    grants = arrivals(sample, "credit_grants")
    free = grants.filter(pl.col("kind") == "free")
    assert free["slugs"].count() > 0
    assert free.filter(pl.col("expires_at") < datetime(2026, 10, 1, tzinfo=UTC)).height > 0
    assert (free.group_by("owner_id").len()["len"] >= 4).any()
    opening = grants.filter(pl.col("kind") == "prepaid")
    assert opening.height > 0
    assert opening["expires_at"].count() == 0


def test_a_payment_surely_covers_twice_the_usage_of_its_month_with_tax(sample: SampleSummary) -> None:
    """An upper bound of the first invoice: every price at its highest, provision for the next month, 20 % VAT."""
    highest = (
        arrivals(sample, "price_tiers")
        .group_by("slug")
        .agg(price=(pl.col("unit_price").cast(pl.Float64) / pl.col("per_quantity")).max())
    )
    start, end = datetime(2026, 8, 1, tzinfo=UTC), datetime(2026, 9, 1, tzinfo=UTC)
    runs = newest(sample, "runtime_intervals").with_columns(
        since=pl.max_horizontal("started_at", pl.lit(start)),
        until=pl.min_horizontal(pl.col("stopped_at").fill_null(end), pl.lit(end)),
    )
    hours = runs.filter(pl.col("since") < pl.col("until")).select(
        "owner_id",
        slug=pl.concat_str("service", pl.lit("."), "flavour").str.to_lowercase(),
        quantity=(pl.col("until") - pl.col("since")).dt.total_seconds() / 3600,
    )
    sizes = (
        newest(sample, "storage_samples")
        .group_by("owner_id", "resource_id", slug="metric")
        .agg(quantity=pl.col("bytes").max() * 744.0)
    )
    moved = (
        newest(sample, "traffic_deltas")
        .filter(pl.col("stopped_at") <= end)
        .select("owner_id", slug="metric", quantity=pl.col("bytes").cast(pl.Float64))
    )
    costs = (
        pl.concat([hours, sizes.drop("resource_id"), moved])
        .join(highest, on="slug")
        .join(customers(sample).select("owner_id", payer_id=pl.coalesce("payer_id", "owner_id")), on="owner_id")
        .group_by("payer_id")
        .agg(cost=(pl.col("quantity") * pl.col("price")).sum())
    )
    paid = arrivals(sample, "payments").filter(pl.col("outcome") == "succeeded")
    first = paid.filter(pl.col("reference").str.ends_with("/2026-08")).join(
        costs, left_on="owner_id", right_on="payer_id"
    )
    assert 0.5 < first.height / len(sample.payers) < 0.9
    # One-shots and users are not in the bound; what they cost is far below the margin.
    assert (first["amount"].cast(pl.Float64) > first["cost"] * 2 * 1.2 * 1.1).all()
