"""Resources that cost less than a cent each share a line, so that rounding neither loses nor invents money."""

from decimal import Decimal

from rating_month import HOUR, Case, RatedMonth, case, october


def tenths(name: str, *tenths_of_a_cent: int, **columns: object) -> Case:
    """Resources a, b, … that cost so many tenths of a cent each."""
    usage = case(name, **columns).price("dust", "moved", (0, None, "0.001"), price_id=f"{name}-price")
    for letter, quantity in zip("abcdefghij", tenths_of_a_cent, strict=False):
        usage.moved("dust", quantity, resource_id=f"{name}-{letter}")
    return usage


def shares(rated: RatedMonth, usage: Case) -> list[tuple[str, int]]:
    found = rated.marts["charge_shares"].join(rated.of("charges", usage), on="line_id", suffix="_of_line")
    return sorted((row["resource_id"][-1], row["share_cents"]) for row in found.iter_rows(named=True))


ten = tenths("ten-tenths", *[1] * 10)
rounding_up = tenths("rounded-up", *[6] * 5)
rounding_down = tenths("rounded-down", *[4] * 5)


def test_what_is_small_is_added_before_it_is_rounded(rated: RatedMonth):
    assert rated.amounts(ten) == [1]
    assert rated.amounts(rounding_up) == [3]
    assert rated.amounts(rounding_down) == [2]


def test_a_line_of_several_resources_counts_them_and_names_none(rated: RatedMonth):
    (line,) = rated.charges(ten).iter_rows(named=True)
    assert (line["resource_id"], line["resource_name"], line["resources"], line["quantity"]) == ("", None, 10, 10)
    assert line["quantity"] * line["unit_price"] / line["per_quantity"] == Decimal("0.01")


uneven = tenths("uneven", 2, 9, 5, 5, 1)


def test_the_cents_of_a_shared_line_go_to_the_largest_amounts_and_ties_to_the_first_id(rated: RatedMonth):
    assert rated.amounts(uneven) == [2]
    assert shares(rated, uneven) == [("a", 0), ("b", 1), ("c", 1), ("d", 0), ("e", 0)]


mixed = tenths("mixed", 3, 10, 9, 15, 0)
alone = tenths("alone", 3, 10)
free = case("free-dust").price("dust", "moved", (0, None, "0"))
free.moved("dust", 1, resource_id="free-a").moved("dust", 1, resource_id="free-b")


def test_a_cent_and_more_is_a_line_of_its_own(rated: RatedMonth):
    lines = rated.charges(mixed)
    assert lines.select("resource_id", "resources", "charge_cents").rows() == [
        ("", 2, 1),
        ("mixed-b", 1, 1),
        ("mixed-d", 1, 2),
    ]


def test_one_small_resource_alone_is_an_ordinary_line(rated: RatedMonth):
    assert rated.charges(alone).select("resource_id", "resources", "charge_cents").rows() == [
        ("alone-a", 1, 0),
        ("alone-b", 1, 1),
    ]
    assert shares(rated, alone) == []


def test_what_is_free_is_not_small(rated: RatedMonth):
    assert rated.charges(free)["resource_id"].to_list() == ["free-a", "free-b"]


zones = tenths("two-zones", 4, 4)
zones.moved("dust", 4, resource_id="two-zones-c", zone="mtl").moved("dust", 4, resource_id="two-zones-d", zone="mtl")
repriced = (
    case("repriced-dust")
    .price("dust", "moved", (0, None, "0.001"), price_id="dust-old", valid_to=october(11))
    .price("dust", "moved", (0, None, "0.002"), price_id="dust-new", valid_from=october(11))
)
for day in (5, 20):
    for letter in "ab":
        repriced.moved("dust", 3, october(day), october(day) + HOUR, resource_id=f"dust-{letter}")


def test_only_the_same_price_in_the_same_zone_shares_a_line(rated: RatedMonth):
    assert rated.charges(zones).select("zone", "resources", "charge_cents").sort("zone").rows() == [
        ("mtl", 2, 1),
        ("par", 2, 1),
    ]
    assert rated.charges(repriced).select("price_id", "resources", "charge_cents").rows() == [
        ("dust-new", 2, 1),
        ("dust-old", 2, 1),
    ]


tiers = case("dust-in-tiers").price("dust", "moved", (0, 3, "0.001"), (3, None, "0.0001"), tier_mode="graduated")
tiers.moved("dust", 5, resource_id="tiers-a").moved("dust", 4, resource_id="tiers-b").moved("dust", 2)
brief = case("brief-runs").price("apps.S", "runtime", (0, None, "0.1"))
for letter in "abc":
    brief.ran("apps.S", october(3), october(3) + HOUR / 20, resource_id=f"brief-{letter}")


def test_each_tier_has_its_own_shared_line(rated: RatedMonth):
    lines = rated.charges(tiers).select("tier_from", "resources", "quantity", "charge_cents")
    assert lines.rows() == [(0, 3, 8, 1), (3, 2, 3, 0)]


def test_a_shared_line_of_runs_lasts_as_long_as_all_of_them(rated: RatedMonth):
    (line,) = rated.charges(brief).iter_rows(named=True)
    assert (line["quantity"], line["duration_s"], line["charge_cents"]) == (540, 540, 2)


def test_the_rows_of_all_its_resources_are_sources_of_a_shared_line(rated: RatedMonth):
    (line_id,) = rated.of("charges", ten)["line_id"]
    sources = rated.marts["charge_sources"].filter(line_id=line_id)
    assert sources.select("feed", "source_rows").rows() == [("traffic_deltas", 10)]
