import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from intake_home import IntakeHome


@pytest.fixture
def home(tmp_path: Path) -> IntakeHome:
    return IntakeHome(tmp_path)
