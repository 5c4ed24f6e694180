"""What each day of a month cost, service by service: printed amounts, shared over the days of their usage."""

from collections.abc import Mapping, Sequence
from datetime import date

from billing_pipeline.rules.allocation import share


def share_over_days(
    costs_cents: Mapping[str, int], weights: Mapping[str, Mapping[date, int]], days: Sequence[date]
) -> dict[str, list[int]]:
    """Cents per day of each service, in the order of the services; those of one add up to its cost exactly.

    By largest remainder, the earlier day first. A service is left out that costs nothing or less, or that no day is
    known of: corrections of earlier months, and what tops a month up.

    Args:
        costs_cents: what is asked for each service.
        weights: service -> day -> how much of its cost is of that day, compared with the others; not negative
            (`tables.rating.DailyWeights`).
        days: the days of the month in order; weights of other days do not count.
    """
    weighed = {service: [weights.get(service, {}).get(day, 0) for day in days] for service in costs_cents}
    return {
        service: share(cost, weighed[service])
        for service, cost in costs_cents.items()
        if cost > 0 and any(weighed[service])
    }
