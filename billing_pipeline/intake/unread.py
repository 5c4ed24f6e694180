"""Files of feeds that the pipeline does not read: listed as refused, so that nothing lands unnoticed."""

import polars as pl

from billing_pipeline.adapters.landing import Landing, day_end
from billing_pipeline.intake.contracts import FEEDS
from billing_pipeline.intake.windows import Window
from billing_pipeline.tables.usage import FileReceipts


def receipts_of_unread(landing: Landing, window: Window) -> pl.DataFrame:
    """A receipt for each file of the window in a folder that is no known feed."""
    rows = []
    for feed in landing.feeds():
        if feed in FEEDS:
            continue
        for day in landing.days(feed, window.as_of):
            if window.since is not None and day_end(day) <= window.since:
                continue
            for file in landing.files(feed, day):
                checksum = file.sha256
                detail = f"no feed is called {feed!r}; its files are not billed"
                rows.append((feed, checksum[:16], file.path, checksum, 0, 0, 0, 0, 0, "feed_unknown", detail))
    return pl.DataFrame(rows, schema=FileReceipts.create_empty().schema, orient="row")
