"""Whatever lands, three months in a row publish what a plain reading of the contract says."""

import shutil
import tempfile
from datetime import datetime, timedelta
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from intake_home import ClosedMonth, IntakeHome, run
from plain_intake import PlainMonth, close_plainly, read_raw_rows

from billing_pipeline.sample.landing import Row

MONTHS = ("2026-10", "2026-11", "2026-12")

#: Around the months' ends and as_of instants, so that runs open, cross, come late and land on either side.
STARTS = ["2026-10-10", "2026-10-31 23:00", "2026-11-01", "2026-11-20", "2026-12-04"]
STOPS = [None, "2026-10-20", "2026-11-01", "2026-11-02 12:00", "2026-12-01", "2026-12-20"]
INGESTED = ["2026-11-01 06:00", "2026-11-03 06:00", "2026-11-25", "2026-12-02 12:00", "2026-12-20"]

versions = st.tuples(
    st.sampled_from("abc"),  # event
    st.sampled_from(STARTS),
    st.sampled_from(STOPS),
    st.sampled_from(INGESTED),
    st.sampled_from([False, False, False, True]),  # withdrawn
    st.sampled_from(["S", "S", "M"]),
    st.sampled_from([0, 0, 0, 1, 30]),  # days from being taken in to landing
    st.sampled_from(["meter", "again"]),
)
#: What is told of one instance; many instances make one example, because a month costs the same for one as for fifty.
histories = st.lists(versions, min_size=1, max_size=5)


def rows_of(histories: list[list[tuple[str, str, str | None, str, bool, str, int, str]]]) -> list[tuple[str, str, Row]]:
    """File name, arrival day and raw row of everything that is told."""
    rows = []
    for number, history in enumerate(histories):
        for event, start, stop, ingested, is_deleted, flavour, delay, name in history:
            what = {"instance_id": f"i-{number}", "owner_id": f"orga_{number}", "is_deleted": is_deleted}
            row = run(f"e{number}{event}", start, stop, ingested=ingested, flavour=flavour, **what)
            landed = datetime.fromisoformat(ingested).date() + timedelta(days=delay)
            rows.append((name, str(landed), row))
    return rows


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


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(histories, min_size=30, max_size=60))
def test_three_months_publish_what_the_contract_says(
    histories: list[list[tuple[str, str, str | None, str, bool, str, int, str]]],
) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        home = IntakeHome(folder)
        told = rows_of(histories)
        for name in sorted({name for name, _, _ in told}):
            for day in sorted({day for _, day, _ in told}):
                landing = [row for its, landed, row in told if (its, landed) == (name, day)]
                if landing:
                    home.land("runtime_intervals", *landing, name=name, day=day)
        months = home.close_all("runtime_intervals", *MONTHS)
        raw = read_raw_rows(home.landing)
        plain = PlainMonth()
        since = None
        for key, month in zip(MONTHS, months, strict=True):
            window = home.window(key)
            plain = close_plainly(raw, window.period.start, window.period.end, since, window.as_of, plain)
            assert published(month) == expected(plain), key
            since = window.as_of
    finally:
        shutil.rmtree(folder)
