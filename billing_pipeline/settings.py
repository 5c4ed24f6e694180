"""Everything a provider can set, in one typed object, read once at the edge (the command line and `defs.resources`).

Sources, the first that speaks wins: flags of `billing`, environment variables `BILLING_…` (nested by `__`, e.g.
`BILLING_SELLER__NAME`), `settings.toml` in the home folder, the defaults below.
"""

import os
from datetime import timedelta
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, Field, StringConstraints
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from billing_pipeline.rules.bill_flags import BillLimits
from billing_pipeline.rules.flags import FlagLimits
from billing_pipeline.rules.journal import ChartOfAccounts
from billing_pipeline.rules.numbering import NUMBER_FORMAT, check_format
from billing_pipeline.rules.parties import Seller
from billing_pipeline.rules.provisioning import Strategy

#: Where the sources of the pipeline lie: what the code version is computed over.
REPOSITORY = Path(__file__).resolve().parent.parent


class SellerSettings(BaseModel):
    """The provider as it appears on its invoices; see `rules.parties.Seller`."""

    name: str = "Your company (set seller.name)"
    address: tuple[str, ...] = ()
    country: str = "FR"
    vat_number: str = ""
    legal_id: str = ""
    legal_mention: str = ""
    email: str = ""
    iban: str = ""
    bic: str = ""


class HeartbeatSettings(BaseModel):
    """How the heartbeats of one source become runs."""

    period_s: int = Field(ge=1, le=86_400)
    gap_s: int = Field(ge=1, le=86_400)


_Account = Annotated[str, StringConstraints(pattern=r"^[0-9]{3,20}$")]
_JournalCode = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9]{1,10}$")]


class AccountingSettings(BaseModel):
    """The accounts that the journal is written to, and the codes of its journals: the French chart by default."""

    receivable: _Account = "411000"
    advances: _Account = "419100"
    revenue: _Account = "706000"
    reductions: _Account = "709000"
    vat_pending: _Account = "445740"
    #: The same as `vat_pending`: VAT falls due with the invoice instead of when it is paid.
    vat_due: _Account = "445710"
    bank: _Account = "512000"
    unassigned: _Account = "471000"
    #: Claims that were given up (WONTPAY).
    losses: _Account = "654000"
    opening: _Account = "890000"
    sales_journal: _JournalCode = "VE"
    credit_notes_journal: _JournalCode = "AV"
    bank_journal: _JournalCode = "BQ"
    operations_journal: _JournalCode = "OD"
    opening_journal: _JournalCode = "AN"


class Settings(BaseSettings):
    """One provider's settings."""

    model_config = SettingsConfigDict(env_prefix="BILLING_", env_nested_delimiter="__", extra="ignore")

    #: Everything the pipeline keeps: warehouse, books, documents, Dagster's own storage.
    home: Path = Path("billing_home")
    #: Where usage and reference files land; default: `landing` in the home folder.
    landing: Path | None = None
    #: Where months are cut; also the zone of the partitions.
    billing_timezone: str = "UTC"
    #: First month that can be chosen as a partition.
    partitions_start: str = "2013-01"
    #: How long after its end a month waits for late rows: the default `as_of`.
    grace_days: int = Field(default=2, ge=0)
    #: For how many closed months late usage still makes corrections; older rows are refused (`too_late`).
    late_months: int = Field(default=12, ge=1, le=120)
    #: Day of the month on which the schedule, if it is switched on, closes the month before: after the days of grace.
    close_day: int = Field(default=3, ge=1, le=28)
    #: Sources by usage feed without which no month is rated, e.g. `{runtime_intervals = ["meter-par", "meter-rbx"]}`.
    needed_sources: dict[str, tuple[str, ...]] = {}
    #: How long a heartbeat holds if none follows.
    heartbeat_period_s: int = Field(default=300, ge=1, le=86_400)
    #: The longest time between two heartbeats of one run; a month sees those of a day around it.
    heartbeat_gap_s: int = Field(default=900, ge=1, le=86_400)
    #: Sources whose heartbeats have a period and gap of their own.
    heartbeat_sources: dict[str, HeartbeatSettings] = {}
    #: How the next month is estimated: see `rules.provisioning`.
    provision_strategy: Strategy = Strategy.SAME_AS_LAST_MONTH
    #: How many of a payer's first invoices ask for no refill; 0: it is asked for at once.
    provision_from_month: int = Field(default=0, ge=0)
    #: A stored value that is held longer than this, without a newer sample, is billed on and flagged.
    stale_after_days: int = Field(default=35, ge=1)
    #: A run that has been open for longer than this is billed on and flagged.
    stale_open_days: int = Field(default=366, ge=1)
    #: Over-consumption of more than so many times what was provisioned is invoiced and flagged.
    regul_times: int = Field(default=100, ge=1, le=1_000_000)
    #: Fees of an organisation, or of all, that change by more than this from month to month are invoiced and flagged.
    drift_percent: int = Field(default=50, ge=1, le=1_000_000)
    series: str = "INV"
    #: What a number is made of; serials run from 1 in each series and year.
    number_format: Annotated[str, AfterValidator(check_format)] = NUMBER_FORMAT
    #: The same for credit notes.
    credit_note_series: str = "CN"
    payment_terms_days: int = Field(default=14, ge=0)
    seller: SellerSettings = SellerSettings()
    accounting: AccountingSettings = AccountingSettings()
    #: Threads of DuckDB, and processes that make documents; default: the machine's cores.
    workers: int = Field(default_factory=lambda: len(os.sched_getaffinity(0)), ge=1)
    memory_mb: int = Field(default=2_000, ge=500)
    #: Up to this many organisations, the month's run records each document in Dagster; recording more costs more than
    #: the billing, and the register answers instead.
    recorded_organisations: int = Field(default=2_000, ge=0)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags before environment before `settings.toml` of the home folder."""
        del dotenv_settings, file_secret_settings
        home = Path(os.environ.get("BILLING_HOME", "billing_home"))
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, home / "settings.toml")

    @property
    def landing_folder(self) -> Path:
        """The landing folder in use."""
        return self.landing or self.home / "landing"

    @property
    def zone(self) -> ZoneInfo:
        """Where months are cut."""
        return ZoneInfo(self.billing_timezone)

    @property
    def grace(self) -> timedelta:
        """How long after its end a month waits for late rows."""
        return timedelta(days=self.grace_days)

    @property
    def flag_limits(self) -> FlagLimits:
        """From when on usage is flagged."""
        return FlagLimits(timedelta(days=self.stale_open_days), timedelta(days=self.stale_after_days))

    @property
    def bill_limits(self) -> BillLimits:
        """From when on bills are flagged."""
        return BillLimits(self.regul_times, self.drift_percent)

    @property
    def invoicing_seller(self) -> Seller:
        """The provider as rules and documents know it."""
        return Seller(**self.seller.model_dump())

    @property
    def chart_of_accounts(self) -> ChartOfAccounts:
        """The accounts as rules know them."""
        return ChartOfAccounts(**self.accounting.model_dump())
