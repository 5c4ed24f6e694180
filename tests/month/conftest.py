import fcntl
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

from beside_home import BESIDE_SETTINGS, bill_beside
from decided_home import DECIDED_SETTINGS, bill_decided
from provider_home import ProviderHome, at, grant, hourly, one_shot, organisation, ran

from billing_pipeline.rules.period import Month
from billing_pipeline.sample.provider import write_sample


@pytest.fixture(scope="session")
def dagster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dagster's own storage, which no figure depends on: made once for all homes."""
    return tmp_path_factory.mktemp("dagster")


@pytest.fixture(scope="session")
def new_home(tmp_path_factory: pytest.TempPathFactory, dagster: Path) -> Callable[..., ProviderHome]:
    """Makes homes: empty, or a copy of another one."""

    def make(name: str, *, of: ProviderHome | None = None, keeps_events: bool = False) -> ProviderHome:
        home = ProviderHome(tmp_path_factory.mktemp(name), dagster, keeps_events=keeps_events)
        if of:
            home.settings = dict(of.settings)
            shutil.copytree(of.folder, home.folder, dirs_exist_ok=True)
        return home

    return make


@pytest.fixture(scope="session")
def shared_home(
    tmp_path_factory: pytest.TempPathFactory, dagster: Path, request: pytest.FixtureRequest
) -> Callable[[str, Callable[[ProviderHome], None]], ProviderHome]:
    """Homes that several files read: filled by whichever worker comes first; whoever changes one takes a copy."""
    is_worker = hasattr(request.config, "workerinput")
    root = tmp_path_factory.getbasetemp().parent if is_worker else tmp_path_factory.getbasetemp()

    def share(name: str, fill: Callable[[ProviderHome], None]) -> ProviderHome:
        home, filled = ProviderHome(root / f"shared-{name}", dagster), root / f"{name}-is-filled"
        with (root / f"{name}-lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not filled.exists():
                shutil.rmtree(home.folder, ignore_errors=True)
                home.folder.mkdir()
                fill(home)
                filled.touch()
        return home

    return share


@pytest.fixture(scope="session")
def published(shared_home: Callable[..., ProviderHome]) -> ProviderHome:
    """March 2026, issued: the two statements that Clever Cloud published, and a customer with a coupon."""
    return shared_home("published", bill_published)


def bill_published(home: ProviderHome) -> None:
    home.land(
        "organisations",
        organisation("abroad", country="CH", postcode="1003", city="Lausanne"),
        organisation("coupon"),
        organisation("french"),
        organisation("main"),
        organisation("branch", payer_id="main"),
    )
    home.land(
        "price_tiers",
        # 744 hours of March at these prices are the fees that were published.
        hourly("apps.first", "0.92323924731182795699"),
        hourly("apps.main", "0.13725806451612903226"),
        hourly("apps.branch", "0.01681451612903225806"),
        hourly("apps.s", "0.10"),
        hourly("postgresql.xs_sml", "0.05"),
    )
    home.land(
        "credit_grants",
        grant("abroad", "abroad-opening", "691.35", kind="prepaid"),
        grant("french", "french-opening", "691.35", kind="prepaid"),
        grant("main", "main-opening", "20.00", kind="prepaid"),
        grant("coupon", "WELCOME", "100.00"),
    )
    home.land(
        "refill_agreements",
        {"owner_id": "main", "billing_month": "2026-03", "amount": "0", "author": "Sales", "reason": "In arrears"},
    )
    january, morning, noon = at("2026-01-10"), at("2026-03-10"), at("2026-03-10T12:00")
    home.land(
        "runtime_intervals",
        ran("abroad", "apps.first", january, None),
        ran("french", "apps.first", january, None),
        ran("main", "apps.main", january, None),
        ran("branch", "apps.branch", january, None),
        ran("coupon", "apps.s", morning, noon),
        ran("coupon", "postgresql.xs_sml", morning, noon),
    )
    home.land("one_shots", one_shot("coupon", "Migration", "40.00", noon))
    home.bill("2026-03")


@pytest.fixture(scope="session")
def sample(shared_home: Callable[..., ProviderHome]) -> ProviderHome:
    """The sample provider, January and February 2026 closed by one worker; February has no documents."""
    return shared_home("sample", draft_sample)


def draft_sample(home: ProviderHome) -> None:
    write_sample(home.folder / "landing", organisations=12, first=Month(2026, 1), months=2)
    home.close("2026-01")
    home.draft("2026-02")


@pytest.fixture(scope="session")
def beside(shared_home: Callable[..., ProviderHome]) -> ProviderHome:
    """January and February 2026, issued: monthly invoices, and what is invoiced beside them."""
    home = shared_home("beside", bill_beside)
    home.settings |= BESIDE_SETTINGS
    return home


@pytest.fixture(scope="session")
def decided(shared_home: Callable[..., ProviderHome]) -> ProviderHome:
    """January to March 2026, issued; invoices were cancelled, refunded and issued again in between."""
    home = shared_home("decided", bill_decided)
    home.settings |= DECIDED_SETTINGS
    return home
