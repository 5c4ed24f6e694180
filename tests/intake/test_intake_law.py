"""Whatever lands, three months in a row publish what a plain reading of the contract says."""

import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from intake_home import ClosedMonth, IntakeHome, run
from plain_intake import PlainMonth, close_plainly, read_raw_rows

from billing_pipeline.sample.landing import Row

MONTHS = ("2026-10", "2026-11", "2026-12")

#: Around the months' ends and as_of instants, so that runs open, cross, come late and land on either side.
STARTS = ["2026-10-10", "2026-10-31 23:00", "2026-11-01", "2026-11-20", "2026-12-04"]
STOPS = [None, "2026-10-20", "2026-11-01", "2026-11-02 12:00", "2026-12-01", "2026-12-20"]
INGESTED = ["2026-11-01 06:00", "2026-11-03 06:00", "2026-11-25", "2026-12-02 12:00", "2026-12-20"]

#: Days from being taken in to landing; a clock may also run ahead of the day on which its file landed.
DELAYS = [0, 0, 0, 30, -2]

#: Many instances make one example, because a month costs the same for one as for some hundred.
INSTANCES = 250


def invent_history(seed: int) -> dict[tuple[str, str], list[Row]]:
    """What is told of some instances, up to seven times each, by landing day and file."""
    draw = Random(seed)
    files: dict[tuple[str, str], list[Row]] = {}
    for number in range(INSTANCES):
        for _ in range(draw.randint(1, 7)):
            ingested = draw.choice(INGESTED)
            landed = datetime.fromisoformat(ingested).date() + timedelta(days=draw.choice(DELAYS))
            row = run(
                f"e{number}{draw.choice('abc')}",
                draw.choice(STARTS),
                draw.choice(STOPS),
                ingested=ingested,
                instance_id=f"i-{number}",
                owner_id=f"orga_{number}",
                flavour=draw.choice("SSM"),
                is_deleted=draw.random() < 0.2,
            )
            files.setdefault((str(landed), draw.choice(["meter", "again"])), []).append(row)
    return files


def published(month: ClosedMonth) -> dict[str, object]:
    """What a month publishes, in the terms of the plain reading."""
    receipts = {
        row["file_id"]: {
            status: row[f"{status}_rows"]
            for status in ("accepted", "duplicate", "superseded", "quarantined")
            if row[f"{status}_rows"]
        }
        for row in month.part("receipts").to_dicts()
        if row["input_rows"]
    }
    return {
        "events": set(month.part("sources").rows()),
        "carried": set(month.part("carried").select("file_id", "file_row").rows()),
        "lost": set(month.part("lost").select("file_id", "file_row").rows()),
        "conflicts": set(month.part("conflicts")["owner_id"]),
        "late": month.late,
        "receipts": receipts,
    }


def expected(month: PlainMonth) -> dict[str, object]:
    """The same of a month that was closed plainly."""
    return {
        "events": month.events,
        "carried": month.carried,
        "lost": month.lost,
        "conflicts": month.conflicting_owners,
        "late": dict(month.late),
        "receipts": {file: dict(counts) for file, counts in month.receipts.items()},
    }


# Not shrunk: each example closes three months.
@settings(
    max_examples=5,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(seed=st.integers(0, 2**32 - 1), as_of=st.sampled_from([None, "2027-01-05"]))
def test_three_months_publish_what_the_contract_says(seed: int, as_of: str | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = IntakeHome(Path(folder))
        for (day, name), rows in invent_history(seed).items():
            home.land("runtime_intervals", *rows, name=name, day=day)
        months = home.close_all("runtime_intervals", *MONTHS, as_of=as_of)
        raw, plain, since = read_raw_rows(home.landing), PlainMonth(), None
        for key, month in zip(MONTHS, months, strict=True):
            window = home.window(key, as_of=as_of)
            plain = close_plainly(raw, window.period.start, window.period.end, since, window.as_of, plain)
            assert published(month) == expected(plain), key
            since = window.as_of
