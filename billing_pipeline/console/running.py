"""Runs a job in this process, as the UI would, with a progress bar."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from threading import Event, Thread
from uuid import uuid4

import dagster as dg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from billing_pipeline.definitions import defs
from billing_pipeline.defs.monthly import QUIET
from billing_pipeline.rules.period import Month


class RunFailed(RuntimeError):
    """A job stopped; the message is that of the step that stopped it."""


def run_job(
    job: str,
    months: Sequence[Month],
    *,
    as_of: datetime | None = None,
    issue_date: date | None = None,
    without_sources: Sequence[str] = (),
) -> None:
    """Run a job over consecutive months as one run.

    Raises:
        RunFailed: a step stopped; nothing after it ran.
    """
    definition = defs().resolve_job_def(job)
    choices = {
        "as_of": as_of and as_of.isoformat(),
        "issue_date": issue_date and issue_date.isoformat(),
        "without_sources": list(without_sources),
    }
    run_config = {
        **QUIET,
        "resources": {"billing": {"config": {name: value for name, value in choices.items() if value}}},
    }
    tags = {
        "dagster/asset_partition_range_start": str(months[0]),
        "dagster/asset_partition_range_end": str(months[-1]),
    }
    run_id = str(uuid4())
    with dg.DagsterInstance.get() as instance:
        steps = len(definition.graph.node_dict)
        with _progress(
            instance, run_id, steps, f"{job} {months[0]}..{months[-1]}" if len(months) > 1 else f"{job} {months[0]}"
        ):
            try:
                definition.execute_in_process(run_config=run_config, instance=instance, tags=tags, run_id=run_id)
            except Exception as problem:
                message = f"{type(problem).__name__}: {problem}"
                raise RunFailed(message) from problem


@contextmanager
def _progress(instance: dg.DagsterInstance, run_id: str, steps: int, title: str) -> Iterator[None]:
    """A bar that follows the run's finished steps; on a pipe, a line when it is done."""
    console = Console(stderr=True, force_terminal=sys.stderr.isatty())
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    done = Event()
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(title, total=steps)

        def follow() -> None:
            while not done.wait(0.3):
                progress.update(task, **_state(instance, run_id, title))

        watcher = Thread(target=follow, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()
            progress.update(task, **_state(instance, run_id, title))


def _state(instance: dg.DagsterInstance, run_id: str, title: str) -> dict[str, object]:
    """How many steps are done, and which one is running."""
    kinds = {dg.DagsterEventType.STEP_START, dg.DagsterEventType.STEP_SUCCESS}
    events = [
        record.event_log_entry.dagster_event for record in instance.get_records_for_run(run_id, of_type=kinds).records
    ]
    finished = {event.step_key for event in events if event.event_type is dg.DagsterEventType.STEP_SUCCESS}
    running = [event.step_key for event in events if event.step_key not in finished]
    current = running[-1].replace("__", "/") if running else ""
    return {"completed": len(finished), "description": f"{title}  {current}"}
