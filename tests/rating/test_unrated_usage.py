"""Usage that cannot be rated is reported with its reason; it concerns its own organisation and nobody else."""

from datetime import datetime

import pytest
from rating_month import HOUR, Case, RatedMonth, case, october


def at(hours: float) -> datetime:
    return october(3) + hours * HOUR


EURO_AN_HOUR = (0, None, "1")

unpriced = (
    case("unpriced")
    .price("apps.S", "runtime", EURO_AN_HOUR, valid_from=october(11))
    .ran("apps.S", october(10), october(12))
)
in_time = (
    case("in-time")
    .price("apps.S", "runtime", EURO_AN_HOUR, valid_from=october(11))
    .ran("apps.S", october(11), october(12))
)


def test_usage_before_its_first_price_is_reported(rated: RatedMonth):
    assert rated.of("unrated", unpriced).rows() == [
        ("unpriced", "unpriced", "price_missing", "apps.s in par from 2026-10-01T00:00:00Z")
    ]


def test_a_gap_in_the_prices_matters_only_where_something_was_used(rated: RatedMonth):
    assert rated.reasons(in_time) == []
    assert rated.amounts(in_time) == [24_00]


forgotten_days = (
    case("forgotten-days")
    .price("apps.S", "runtime", EURO_AN_HOUR, price_id="until-11", valid_to=october(11))
    .price("apps.S", "runtime", EURO_AN_HOUR, price_id="since-13", valid_from=october(13))
    .ran("apps.S", october(10), october(14))
)
ended_for_good = (
    case("ended-for-good")
    .price("apps.S", "runtime", EURO_AN_HOUR, price_id="until-11-only", valid_to=october(11))
    .price("apps.S", "runtime", EURO_AN_HOUR, price_id="in-usd-later", valid_from=october(13), currency="USD")
    .ran("apps.S", october(10), october(12))
)


def test_a_hole_between_two_versions_of_a_price_is_told_from_no_price(rated: RatedMonth):
    assert rated.of("unrated", forgotten_days).select("reason", "detail").rows() == [
        ("price_gap", "apps.s in par from 2026-10-11T00:00:00Z")
    ]
    assert rated.reasons(ended_for_good) == ["price_missing"]


wrong_basis = case("wrong-basis").price("disk", "moved", EURO_AN_HOUR).stored("disk", 5, since=october(3))


def test_a_price_of_another_basis_is_no_price(rated: RatedMonth):
    assert rated.reasons(wrong_basis) == ["price_missing"]


doubly_priced = (
    case("doubly-priced")
    .price("apps.S", "runtime", EURO_AN_HOUR, price_id="twice-a", valid_to=october(12))
    .price("apps.S", "runtime", EURO_AN_HOUR, price_id="twice-b", valid_from=october(11))
    .ran("apps.S", october(5), october(20))
)


def test_two_equally_specific_prices_at_once_are_reported_by_name(rated: RatedMonth):
    assert rated.of("unrated", doubly_priced).select("reason", "detail").rows() == [
        ("price_overlap", "apps.s in par from 2026-10-11T00:00:00Z (prices twice-a, twice-b are equally specific)")
    ]


dollars = (
    case("dollars")
    .price("apps.S", "runtime", EURO_AN_HOUR, price_id="in-usd", currency="USD")
    .ran("apps.S", at(0), at(1))
)
two_lists = (
    case("two-lists")
    .price("listed.S", "runtime", (0, None, "3"), owner_id=None, currency="USD", price_id="listed-usd")
    .price("listed.S", "runtime", (0, None, "2"), owner_id=None, price_id="listed-eur")
    .ran("listed.S", at(0), at(1))
)


def test_a_price_in_another_currency_is_never_converted(rated: RatedMonth):
    assert rated.of("unrated", dollars).select("reason", "detail").rows() == [
        ("currency", "apps.s in par from 2026-10-01T00:00:00Z (price in-usd is in USD, the payer's currency is EUR)")
    ]


def test_each_currency_may_have_its_own_price_list(rated: RatedMonth):
    assert rated.charges(two_lists).select("price_id", "charge_cents").rows() == [("listed-eur", 2_00)]
    assert rated.reasons(two_lists) == []


newcomer = (
    case("newcomer")
    .version(october(11))
    .price("apps.S", "runtime", EURO_AN_HOUR)
    .ran("apps.S", october(10), october(12))
    .charged_once("1", "5", performed_at=october(2))
)
orphan = case("orphan", payer_id="nobody").price("apps.S", "runtime", EURO_AN_HOUR).ran("apps.S", at(0), at(1))


def test_usage_before_the_organisation_is_known_concerns_the_payer_it_has_later(rated: RatedMonth):
    assert rated.of("unrated", newcomer).rows() == [
        ("newcomer", "newcomer", "org_unknown", "apps.s in par from 2026-10-01T00:00:00Z and 1 more")
    ]


def test_usage_whose_payer_is_unknown_is_reported_without_one(rated: RatedMonth):
    assert rated.of("unrated", orphan).rows() == [
        ("orphan", None, "org_unknown", "apps.s in par from 2026-10-01T00:00:00Z")
    ]


two_flavours = (
    case("two-flavours")
    .price("apps.S", "runtime", EURO_AN_HOUR)
    .price("apps.M", "runtime", EURO_AN_HOUR)
    .ran("apps.S", at(0), at(5), instance_id="shape-shifter")
    .ran("apps.M", at(4), at(9), instance_id="shape-shifter")
    .ran("apps.S", at(0), at(1), instance_id="resized")
    .ran("apps.M", at(1), at(2), instance_id="resized")
)
first_owner = (
    case("first-owner").price("apps.S", "runtime", EURO_AN_HOUR).ran("apps.S", at(0), None, instance_id="owned")
)
second_owner = case("second-owner").price("apps.S", "runtime", EURO_AN_HOUR)
second_owner.ran("apps.S", at(1), at(2), instance_id="owned").ran("apps.S", at(5), at(6), instance_id="owned")


def test_an_instance_that_is_two_things_at_once_is_reported(rated: RatedMonth):
    assert rated.of("unrated", two_flavours)["reason"].to_list() == ["overlap_flavour"]
    assert "instance shape-shifter" in rated.of("unrated", two_flavours)["detail"].item()
    assert rated.marts["runs"].filter(instance_id="shape-shifter").is_empty()


def shared(name: str, *, resource_id: str, ran: tuple[float, float], moved: tuple[float, float] | None = None) -> Case:
    """An organisation that runs an instance of its own of a resource that another one has, too."""
    owner = case(name).price("apps.S", "runtime", EURO_AN_HOUR).price("net", "moved", EURO_AN_HOUR)
    owner.ran("apps.S", *map(at, ran), resource_id=resource_id)
    return owner.moved("net", 5, *map(at, moved or ran), resource_id=resource_id)


claimed_twice = [
    shared(f"claims-{name}", resource_id="claimed-resource", ran=hours, moved=moved)
    for name, hours, moved in (("one", (0, 9), (20, 21)), ("two", (5, 6), (22, 23)))
]
moved_twice = [
    shared(f"moves-{name}", resource_id="moved-resource", ran=hours, moved=moved)
    for name, hours, moved in (("one", (0, 5), (0, 5)), ("two", (5, 9), (4, 9)))
]
handed_over = [
    shared(f"handed-{name}", resource_id="handed-over", ran=hours) for name, hours in (("one", (0, 5)), ("two", (5, 9)))
]
seen_by_both = [
    case(f"seen-by-{name}")
    .price("apps.S", "runtime", EURO_AN_HOUR)
    .seen("apps.S", *map(at, hours), instance_id=f"seen-by-{name}-i", resource_id="seen-resource")
    for name, hours in (("one", (0, 0.05)), ("two", (0.06, 0.2)))
]


def test_a_resource_that_two_organisations_use_at_once_concerns_both(rated: RatedMonth):
    assert [rated.of("unrated", owner).select("reason", "detail").rows() for owner in claimed_twice] == [
        [
            (
                "owner_conflict",
                f"resource claimed-resource from 2026-10-03T05:00:00Z (it runs for {other} at the same time)",
            )
        ]
        for other in ("claims-two", "claims-one")
    ]
    assert [rated.of("unrated", owner).select("reason", "detail").rows() for owner in moved_twice] == [
        [
            (
                "owner_conflict",
                f"resource moved-resource from 2026-10-03T04:00:00Z (bytes move for {other} at the same time)",
            )
        ]
        for other in ("moves-two", "moves-one")
    ]


@pytest.mark.parametrize("owners", [handed_over, seen_by_both], ids=["measured", "seen"])
def test_a_resource_that_is_handed_over_concerns_nobody(rated: RatedMonth, owners: list[Case]):
    assert [rated.reasons(owner) for owner in owners] == [[], []]


def test_an_instance_that_is_resized_without_overlap_is_rated(rated: RatedMonth):
    assert rated.marts["runs"].filter(instance_id="resized").height == 2
    assert rated.amounts(two_flavours) == [1_00, 1_00]


def test_an_instance_of_two_owners_at_once_concerns_both(rated: RatedMonth):
    assert rated.reasons(first_owner) == ["owner_conflict"]
    assert rated.reasons(second_owner) == ["owner_conflict"]
    assert rated.of("unrated", second_owner)["detail"].item().endswith("and 1 more")


unusable_own_price = (
    case("unusable-own-price")
    .price("apps.S", "runtime", (0, None, "-1"), price_id="negative")
    .price("apps.unusable-own-price", "runtime", EURO_AN_HOUR, owner_id=None, price_id="everybodys")
    .price("apps.unusable-own-price", "runtime", (0, None, "-1"), price_id="negative-too")
    .ran("apps.S", at(0), at(1))
    .ran("apps.unusable-own-price", at(0), at(1))
)


def test_a_price_that_cannot_be_used_does_not_let_the_public_one_count_instead(rated: RatedMonth):
    assert rated.reasons(unusable_own_price) == ["price_missing"]
    assert "(price negative" in rated.of("unrated", unusable_own_price)["detail"].item()
    assert rated.amounts(unusable_own_price) == []
