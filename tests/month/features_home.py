"""A provider with one organisation per feature of pricing, so that every kind of step is told on a real invoice."""

from collections.abc import Iterator
from datetime import timedelta

from provider_home import LONG_AGO, ProviderHome, at, grant, hourly, organisation, ran

from billing_pipeline.sample.landing import Row

_MONTHS = ("2026-02", "2026-03")

#: Each runs 100 hours of an application at 0.10 a month: 10.00.
_RULED = ("gratis", "capped", "floored", "committed", "discounted")

_OTHERS = ("entered", "packed", "granular", "broken", "tiny", "vended", "beating", "head", "joiner", "freed")


def land_features(home: ProviderHome) -> None:
    """Two months' raw rows; estimates are made by the day, and the first statement asks for no refill."""
    home.settings = {"BILLING_PROVISION_STRATEGY": "daily_rate", "BILLING_PROVISION_FROM_MONTH": "1"}
    discount = {"discount_rate": "0.05", "discount_reason": "Loyalty"}
    home.land(
        "organisations",
        *(organisation(owner) for owner in (*_RULED, *_OTHERS) if owner != "discounted"),
        organisation("discounted", **discount),
        organisation("joiner", payer_id="head", valid_from=at("2026-03-01")),
    )
    home.land("price_tiers", *_prices())
    home.land("spend_rules", *_rules())
    home.land(
        "credit_grants",
        grant("joiner", "joiner-free", "5.00"),
        grant("joiner", "joiner-opening", "20.00", kind="prepaid"),
    )
    for month in _MONTHS:
        _land_usage(home, month)


def _prices() -> Iterator[Row]:
    yield hourly("apps.s", "0.10")
    yield hourly("pg.s", "0.10")
    yield hourly("tiny.s", "0.10")
    yield hourly("jobs.s", "0.36", granularity_seconds=60, minimum_seconds=600)
    yield hourly("crons.s", "0.36", minimum_seconds=120)
    tiered = {"tier_mode": "graduated"}
    yield hourly("gpu.s", "0.10", tier_to=36_000, **tiered)
    yield hourly("gpu.s", "0.05", tier_from=36_000, tier_price="2.00", **tiered)
    package = {"tier_mode": "package", "block_quantity": 1_000, "tier_price": "0.35"}
    yield hourly("mail.sent", "0", basis="units", per_seconds=None, **package)
    moved = {"basis": "moved", "per_seconds": None, "per_quantity": 10**9, "block_quantity": 10**9}
    yield hourly("traffic.out", "0.02", **moved)


def _rules() -> Iterator[Row]:
    common = {"currency": "EUR", "valid_from": LONG_AGO}
    for owner, kind, columns in (
        ("discounted", "discount", {"rate": "0.1", "amount": "5.00"}),
        ("gratis", "discount", {"amount": "50.00"}),
        ("capped", "maximum", {"amount": "3.00"}),
        ("floored", "minimum", {"amount": "20.00"}),
        ("committed", "commitment", {"amount": "30.00"}),
    ):
        yield common | {"rule_id": f"{kind}-{owner}", "name": f"Our {kind}", "owner_id": owner, "kind": kind} | columns
    for slug, quantity in (("gpu.s", 12 * 3600), ("mail.sent", 500), ("traffic.out", 700_000_000)):
        rule = {"rule_id": f"free-{slug}", "name": "Included", "owner_id": "freed", "kind": "free_quantity"}
        yield common | rule | {"slug": slug, "quantity": quantity}


def _land_usage(home: ProviderHome, month: str) -> None:
    first, fifth = at(f"{month}-01"), at(f"{month}-05")

    def for_hours(owner: str, slug: str, hours: float, **columns: object) -> Row:
        return ran(owner, slug, fifth, fifth + timedelta(hours=hours), **columns)

    def for_seconds(owner: str, slug: str, seconds: int, **columns: object) -> Row:
        return ran(owner, slug, fifth, fifth + timedelta(seconds=seconds), **columns)

    home.land(
        "runtime_intervals",
        *(for_hours(owner, "apps.s", 100) for owner in _RULED),
        for_hours("discounted", "pg.s", 100),
        for_hours("entered", "gpu.s", 30),
        for_hours("freed", "gpu.s", 30),
        for_seconds("granular", "jobs.s", 90),
        for_seconds("granular", "crons.s", 90),
        for_hours("broken", "apps.s", 10),
        *(
            for_seconds("tiny", "tiny.s", 90 + 10 * number, resource_id=f"tiny-{number}", instance_id=f"tiny-{number}")
            for number in (1, 2, 3, 4)
        ),
    )
    home.land(
        "unusable_intervals",
        {
            "instance_id": "broken-apps-s",
            "started_at": fifth + timedelta(hours=1),
            "stopped_at": fifth + timedelta(hours=2),
            "reason": "power cut",
            "ingested_at": fifth + timedelta(hours=2),
        },
    )
    later = fifth + timedelta(hours=1)
    for owner in ("packed", "freed"):
        of_mail = {"owner_id": owner, "resource_id": f"{owner}-mail", "resource_name": "Mail", "zone": "par"}
        sent = {"metric": "mail.sent", "sampled_at": fifth, "quantity": "1001", "ingested_at": fifth}
        bytes_moved = {"metric": "traffic.out", "started_at": fifth, "stopped_at": later, "bytes": 1_500_000_000}
        home.land("unit_counts", of_mail | sent)
        home.land("traffic_deltas", of_mail | bytes_moved | {"ingested_at": later})
    home.land(
        "vendor_charges",
        *(
            {
                "owner_id": owner,
                "resource_id": f"{owner}-logs",
                "resource_name": "Logs",
                "vendor": "Acme Add-ons",
                "description": description,
                "charged_at": fifth,
                "amount": amount,
                "currency": "EUR",
                "ingested_at": fifth,
            }
            for owner, description, amount in (("vended", "Logs", "12.345"), ("head", "Metrics", "1.00"))
        ),
    )
    # From ten minutes before the month to half an hour in it, and another one after a gap.
    beats = [first + timedelta(seconds=300 * number) for number in (-2, -1, 1, 2, 3, 4, 5, 6)]
    beats += [later, later + timedelta(seconds=300)]
    home.land(
        "runtime_heartbeats",
        *(
            {
                "owner_id": "beating",
                "resource_id": "beating-apps",
                "resource_name": "Beats",
                "instance_id": f"beating-{month}",
                "service": "apps",
                "flavour": "s",
                "zone": "par",
                "sampled_at": sampled_at,
                "ingested_at": sampled_at,
            }
            for sampled_at in beats
        ),
    )
