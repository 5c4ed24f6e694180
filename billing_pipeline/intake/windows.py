"""Which arrivals a run sees. Those that landed since the month before was closed are its *window*.

Each raw row is in exactly one window, so receipts count every row once.
"""

from dataclasses import dataclass
from datetime import datetime

from billing_pipeline.intake.contracts import CLOCK_SKEW_US
from billing_pipeline.rules.period import Period, microseconds


@dataclass(frozen=True)
class Window:
    """What a run sees: the month, and arrivals after `since` (None: from the beginning) up to `as_of`."""

    period: Period
    since: datetime | None
    as_of: datetime
    #: Usage that was over by then comes too late for any correction (None: nothing does).
    late_from: datetime | None

    @property
    def since_us(self) -> int:
        """`since` in microseconds; before all time where there is none."""
        return microseconds(self.since) if self.since else -1

    @property
    def as_of_us(self) -> int:
        """`as_of` in microseconds."""
        return microseconds(self.as_of)

    def needs(self, seen_until_us: int) -> bool:
        """Whether an arrival day whose rows were seen up to an instant may hold usage of the window or of the month.

        Nothing is measured before it happens, but for skewed clocks, so older days hold no row of the month.
        """
        return seen_until_us > self.since_us or seen_until_us + CLOCK_SKEW_US >= self.period.start_us
