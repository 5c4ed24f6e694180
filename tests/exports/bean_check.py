"""Runs beancount's own checker; it is under the GPL, so it is called as a program and never imported."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(sys.executable).with_name("bean-check")
needs_beancount = pytest.mark.skipif(not PROGRAM.exists(), reason="bean-check of beancount 3 is not installed")


def complaints(file: Path) -> str:
    """What beancount finds wrong; nothing if all is well."""
    checked = subprocess.run([PROGRAM, "--no-cache", file], capture_output=True, text=True, check=False)
    return checked.stdout + checked.stderr
