"""Runs of which Dagster keeps nothing: what is computed aside is no run of the home's, and nobody looks at its events.

Storing the events of a run over a few rows, and asking for the last ones of every asset, takes as long as the run.
"""

import atexit
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

import dagster as dg
from dagster._core.storage.event_log import InMemoryEventLogStorage
from dagster._core.storage.event_log.base import AssetRecord, EventRecordsResult

#: Dagster's settings for such runs; their output would go through four processes of its own.
UNRECORDED = f"""\
telemetry:
  enabled: false
compute_logs:
  module: dagster._core.storage.noop_compute_log_manager
  class: NoOpComputeLogManager
event_log_storage:
  module: {__name__}
  class: ForgottenEvents
"""


class ForgottenEvents(InMemoryEventLogStorage):
    """An event log that stays empty."""

    def store_event(self, event: dg.EventLogEntry) -> None:
        """Keep nothing."""
        del event

    def get_asset_records(self, asset_keys: Sequence[dg.AssetKey] | None = None) -> Sequence[AssetRecord]:
        """None."""
        del asset_keys
        return []

    def get_latest_tags_by_partition(self, *asked: object, **also: object) -> Mapping[str, Mapping[str, str]]:
        """None."""
        del asked, also
        return {}

    def fetch_observations(self, *asked: object, **also: object) -> EventRecordsResult:
        """None."""
        del asked, also
        return EventRecordsResult([], cursor="", has_more=False)


@cache
def unrecorded() -> dg.DagsterInstance:
    """The instance of this process for such runs; its folder goes with the process."""
    folder = Path(mkdtemp(prefix="billing-unrecorded-"))
    atexit.register(rmtree, folder, ignore_errors=True)
    (folder / "dagster.yaml").write_text(UNRECORDED, encoding="utf-8")
    return dg.DagsterInstance.from_config(str(folder))
