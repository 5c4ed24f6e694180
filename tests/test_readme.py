"""The README says what the code does: its generated parts are current, and its commands run."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")

#: Run by `.ci/run` themselves.
SET_UP = ("make demo", "make test")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


def test_flow_and_feeds_are_those_of_the_code():
    rendered = runpy.run_path(str(ROOT / "tools" / "readme.py"))["rendered"]
    assert rendered(TEXT) == TEXT


def test_the_set_up_commands_are_what_ci_runs():
    ci = (ROOT / ".ci" / "run").read_text()
    assert all(command in ci for command in SET_UP)
    assert all(command in "".join(_blocks("sh")) for command in SET_UP)


def test_every_link_into_the_repository_leads_somewhere():
    targets = re.findall(r"\]\(([^)#:]+)\)", TEXT) + re.findall(r'(?:src|href)="([^":]+)"', TEXT)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


# Every command starts anew; `.ci/run` runs it.
@pytest.mark.slow
@pytest.mark.skipif("BILLING_REFERENCE_DATA" not in os.environ, reason="BILLING_REFERENCE_DATA names no traces")
def test_the_commands_run_in_the_order_in_which_they_stand(tmp_path):
    """On the sample of a few organisations, from a folder of its own."""
    (tmp_path / ".venv").symlink_to(Path(sys.prefix), target_is_directory=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DAGSTER")}
    environment |= {"BILLING_HOME": str(tmp_path / "billing_home"), "BILLING_WORKERS": "2"}

    def run(command: str) -> None:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"

    run(".venv/bin/billing demo --organisations 12")
    for language, block in re.findall(r"^```(sh|python)\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE):
        if language == "python":
            run(f".venv/bin/python - <<'PYTHON'\n{block}PYTHON")
        elif block.strip() not in SET_UP:
            run(block)
