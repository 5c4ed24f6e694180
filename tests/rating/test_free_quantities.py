"""Whose free quantity counts for a line: its owner's own, its payer's or everybody's, of that slug and currency."""

import pytest
from rating_month import PERIOD, Case, RatedMonth, case

head = case("free-head")
head.free_of("free.heads", 2).free_of("free.both", 2)
owner = (
    case("free-sub", payer_id="free-head")
    .free_of("free.own", 1)
    .free_of("free.own", 9, owner_id="free-head")
    .free_of("free.both", 3)
)
for number, (slug, currency, quantity) in enumerate(
    [("free.own", "EUR", 5), ("free.heads", "EUR", 5), ("free.everybodys", "EUR", 4), ("free.dollars", "USD", 6)]
):
    rule = {"rule_id": f"free-public-{number}", "name": "free", "owner_id": None, "slug": slug, "currency": currency}
    owner.free.append(rule | {"kind": "free_quantity", "quantity": quantity})
for whose in ("free-sub", "free-head"):
    rule = {"rule_id": f"free-foreign-{whose}", "name": "free", "owner_id": whose, "slug": "free.dollars"}
    owner.free.append(rule | {"currency": "USD", "kind": "free_quantity", "quantity": 7})
FREE = {"free.own": 1, "free.heads": 2, "free.both": 3, "free.everybodys": 4, "free.dollars": 0, "free.none": 0}
for slug in FREE:
    owner.price(slug, "moved", (0, None, "1"), price_id=f"price of {slug}").moved(slug, 10)


@pytest.mark.parametrize("slug", FREE)
def test_the_free_quantity_is_the_owners_own_or_its_payers_or_everybodys(rated: RatedMonth, slug: str):
    assert rated.charges(owner).filter(slug=slug)["quantity"].to_list() == [10 - FREE[slug]]


def lasting(name: str, basis: str, mode: str, *tiers: tuple, **columns: object) -> Case:
    return case(name).price("thing", basis, *tiers, tier_mode=mode, per_seconds=1, price_id=name, **columns)


freed = lasting("lasts-free", "runtime", "flat", (0, None, "1")).free_of("thing", 600)
freed.ran("thing", PERIOD.start, PERIOD.start.replace(hour=1))
kept = lasting("lasts-stored", "stored", "graduated", (0, 2, "1"), (2, None, "1"))
kept.stored("thing", 3, since=PERIOD.end.replace(month=10, day=31, hour=23))


def test_a_line_lasts_as_long_as_it_was_used_whatever_of_it_is_free(rated: RatedMonth):
    assert rated.charges(freed).select("quantity", "duration_s").rows() == [(3000, 3600)]


def test_stored_bytes_last_as_long_in_every_tier_that_they_reach_into(rated: RatedMonth):
    assert rated.charges(kept).select("quantity", "duration_s").rows() == [(7200, 3600), (3600, 3600)]
