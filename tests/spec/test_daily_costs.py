"""What page 1 draws of each day adds up to what it prints of each service."""

from datetime import date, timedelta

from hypothesis import given as draw
from hypothesis import settings
from hypothesis import strategies as st

from billing_pipeline.rules.daily_costs import share_over_days

DAYS = [date(2026, 2, 1) + timedelta(days=number) for number in range(28)]
FIRST, SECOND, THIRD = DAYS[:3]


def cents(cost: int, weights: dict[date, int]) -> dict[date, int]:
    """The days that have a share of one service's cost."""
    (shares,) = share_over_days({"apps": cost}, {"apps": weights}, DAYS).values()
    return {day: share for day, share in zip(DAYS, shares, strict=True) if share}


def test_a_cost_is_shared_like_the_weights_of_the_days():
    assert cents(100, {FIRST: 1, THIRD: 3}) == {FIRST: 25, THIRD: 75}


def test_the_cent_that_is_left_goes_to_the_largest_remainder_and_then_to_the_earlier_day():
    assert cents(100, {FIRST: 5, SECOND: 8}) == {FIRST: 38, SECOND: 62}
    assert cents(100, {FIRST: 1, SECOND: 1, THIRD: 1}) == {FIRST: 34, SECOND: 33, THIRD: 33}


def test_what_has_no_day_or_is_given_back_is_left_out():
    weights = {"apps": {FIRST: 1}, "disks": {FIRST: 1}, "gifts": {FIRST: 1}, "free": {FIRST: 0}}
    costs = {"minimum": 500, "apps": 7, "disks": -7, "gifts": 0, "free": 3}
    assert share_over_days(costs, weights, DAYS) == {"apps": [7, *[0] * 27]}


def test_days_of_another_month_do_not_count():
    assert cents(9, {FIRST: 1, date(2026, 1, 31): 8}) == {FIRST: 9}


services = st.dictionaries(st.sampled_from(["apps", "db", "net", "disk"]), st.integers(1, 10**12), min_size=1)
weighed = st.dictionaries(st.sampled_from(DAYS), st.integers(1, 10**24), min_size=1)


@settings(max_examples=30)
@draw(services, st.lists(weighed, min_size=4, max_size=4))
def test_the_days_of_a_service_add_up_to_its_cost_and_none_is_a_cent_off(costs, drawn):
    weights = dict(zip(["apps", "db", "net", "disk"], drawn, strict=True))

    shared = share_over_days(costs, weights, DAYS)

    assert list(shared) == list(costs)
    for service, shares in shared.items():
        whole = sum(weights[service].values())
        assert sum(shares) == costs[service]
        for day, share in zip(DAYS, shares, strict=True):
            assert abs(share * whole - costs[service] * weights[service].get(day, 0)) < whole
