"""Every figure of an invoice is explained in steps that add up to it, and every line leads to raw files and rows."""

import csv
import hashlib
import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from fractions import Fraction

import polars as pl
import pytest
from features_home import land_features
from provider_home import ProviderHome

from billing_pipeline.console.explaining import rows_of_lines, worth_of_step
from billing_pipeline.rules.period import Month

JANUARY, FEBRUARY = "2026-01", "2026-02"
STATED = (
    "fees", "free_before", "prepaid_before", "balance_before", "free_used", "free_expired", "prepaid_used", "forecast",
    "pending", "refill", "balance_after", "change",
)  # fmt: skip
INVOICED = ("used_credits", "subtotal", "vat", "payable")
MINOR_UNITS = 100  # of the sample's currencies, EUR and USD


@pytest.fixture(scope="module")
def features(new_home) -> ProviderHome:
    """February and March 2026 of the provider with an organisation for every feature."""
    home = new_home("features")
    land_features(home)
    home.draft("2026-02..2026-03")
    return home


@pytest.fixture(scope="module", params=["sample-2026-01", "sample-2026-02", "features-2026-02", "features-2026-03"])
def closed(request) -> tuple[ProviderHome, str]:
    """A month of the sample provider, and of the one whose organisations each show something else."""
    name, month = request.param.split("-", 1)
    return request.getfixturevalue(name), month


def rounded(amount: Fraction) -> int:
    """Half away from zero."""
    magnitude = int(abs(amount) + Fraction(1, 2))
    return magnitude if amount >= 0 else -magnitude


def steps_of(sample: ProviderHome, month: str) -> list[dict]:
    return sample.generation("invoices/explanations", month).read().to_dicts()


def by_figure(steps: list[dict]) -> dict[tuple[str, str, str], list[dict]]:
    found: dict[tuple[str, str, str], list[dict]] = {}
    for step in steps:
        found.setdefault((step["payer_id"], step["line_id"], step["figure"]), []).append(step)
    return found


def published_figures(sample: ProviderHome, month: str) -> dict[tuple[str, str, str], int]:
    """Every figure of every invoice, as the tables that the documents are made from say it."""
    figures = {}
    drafts = sample.rows("invoices/drafts", month)
    payers = {draft["payer_id"] for draft in drafts}
    statements = [row for row in sample.rows("credits/credit_statements", month) if row["payer_id"] in payers]
    for rows, names in ((statements, STATED), (drafts, INVOICED)):
        figures |= {(row["payer_id"], "", name): row[f"{name}_cents"] for row in rows for name in names}
    for line in sample.rows("invoices/invoice_lines", month):
        figures[line["payer_id"], line["line_id"], "amount"] = line["amount_cents"]
    return figures


def test_the_steps_of_every_figure_add_up_to_it(closed):
    home, month = closed
    figures, steps = published_figures(home, month), by_figure(steps_of(home, month))
    explained = {key: sum(step["amount_cents"] or 0 for step in steps.get(key, [])) for key in figures}

    assert explained == figures
    assert {key for key, amount in figures.items() if amount and key not in steps} == set()
    assert {key[2] for key in steps} - {"due", "vat_share"} == {key[2] for key in figures if key in steps}


def test_the_exact_worth_of_every_line_and_tax_is_rounded_to_it_once(closed):
    home, month = closed
    worth: dict[tuple[str, str, str], Fraction] = {}
    for step in steps_of(home, month):
        if step["unit_price"] is not None and step["figure"] in ("amount", "vat"):
            key = step["payer_id"], step["line_id"], step["figure"]
            worth[key] = worth.get(key, Fraction(0)) + worth_of_step(step, step["currency"])
    expected = {key: amount for key, amount in published_figures(home, month).items() if key[2] in ("amount", "vat")}

    assert {key: rounded(exact * MINOR_UNITS) for key, exact in worth.items()} == expected
    assert any(exact * MINOR_UNITS != expected[key] for key, exact in worth.items())


def test_the_quantities_of_a_line_add_up_to_what_is_paid_for(closed):
    home, month = closed
    lines = {line["line_id"]: line for line in home.rows("invoices/invoice_lines", month)}
    led: dict[str, Fraction] = {}
    for step in steps_of(home, month):
        is_quantity = step["quantity"] is not None and step["unit_price"] is None and step["unit"] != "cent"
        if step["figure"] == "amount" and is_quantity:
            led[step["line_id"]] = led.get(step["line_id"], Fraction(0)) + Fraction(step["quantity"])

    assert led == {key: Fraction(line["quantity"]) for key, line in lines.items() if line["price_id"] is not None}
    assert {lines[key]["basis"] for key in led} >= {"runtime", "moved", "units"}


def test_what_lines_still_ask_for_and_the_refill_are_the_subtotal_and_share_its_tax(closed):
    home, month = closed
    sums: dict[tuple[str, str], int] = {}
    for step in steps_of(home, month):
        if step["figure"] in ("due", "vat_share"):
            key = step["payer_id"], step["figure"]
            sums[key] = sums.get(key, 0) + step["amount_cents"]
    refill_tax = {
        step["payer_id"]: step["amount_cents"] for step in steps_of(home, month) if step["what"] == "vat_on_refill"
    }
    statements = {row["payer_id"]: row for row in home.rows("credits/credit_statements", month)}

    taxed = 0
    for draft in home.rows("invoices/drafts", month):
        payer = draft["payer_id"]
        refill = statements[payer]["refill_cents"]
        assert sums.get((payer, "due"), 0) + refill == draft["subtotal_cents"]
        assert sums.get((payer, "vat_share"), 0) + refill_tax.get(payer, 0) == draft["vat_cents"]
        taxed += bool(sums.get((payer, "vat_share")))
    assert taxed


def payers_of(sample: ProviderHome, month: str) -> list[str]:
    return [draft["payer_id"] for draft in sample.rows("invoices/drafts", month)]


def shown_lines(home: ProviderHome, month: str) -> list[tuple[dict, list[dict]]]:
    """Every line with the raw rows that its explanation names."""
    return [
        (line, rows.to_dicts())
        for payer in payers_of(home, month)
        for line, rows in rows_of_lines(home.billing, payer, Month.parse(month))
    ]


@pytest.fixture(scope="module")
def lines_with_rows(sample) -> dict[str, list[tuple[dict, list[dict]]]]:
    """Every line of both months with the raw rows that its explanation names."""
    return {month: shown_lines(sample, month) for month in (JANUARY, FEBRUARY)}


@pytest.fixture(scope="module")
def landed(sample) -> dict[str, list[dict]]:
    """The raw files of the landing folder, row by row."""
    folder = sample.folder / "landing"
    return {
        str(file.relative_to(folder)): pl.read_parquet(file, hive_partitioning=False).to_dicts()
        for file in sorted(folder.rglob("*.parquet"))
    }


def test_every_line_names_the_raw_rows_it_was_made_of_and_no_others(closed):
    home, month = closed
    named: dict[tuple[str, str, str], int] = {}
    lines = set()
    for line, rows in shown_lines(home, month):
        lines.add(line["line_id"])
        for row in rows:
            key = line["line_id"], row["feed"], row["file_id"]
            named[key] = named.get(key, 0) + 1
    sources = home.rows("rating/charge_sources", month)

    assert named == {
        (row["line_id"], row["feed"], row["file_id"]): row["source_rows"] for row in sources if row["line_id"] in lines
    }


@pytest.mark.parametrize("month", [JANUARY, FEBRUARY])
def test_raw_rows_speak_of_the_line_and_their_files_are_what_landed(sample, lines_with_rows, landed, month):
    checksums = {}
    for line, rows in lines_with_rows[month]:
        for row in rows:
            raw = landed[row["path"]][row["file_row"]]
            assert raw["owner_id"] == line["owner_id"]
            assert raw.get("resource_id", raw["event_id"]) == line["resource_id"]
            checksums[row["path"]] = row["sha256"]
    for path, checksum in checksums.items():
        assert hashlib.sha256((sample.folder / "landing" / path).read_bytes()).hexdigest() == checksum
    assert len(checksums) > 50


def counted(line: dict, rows: list[dict], landed: dict[str, list[dict]], tier: dict | None) -> Fraction:
    """What a line measured, from raw rows alone: seconds, byte-seconds, bytes or units."""
    raw_rows = [(row, landed[row["path"]][row["file_row"]]) for row in rows]
    match line["basis"]:
        case "runtime":
            return Fraction(sum(microseconds_run(of_instance) for of_instance in runs(raw_rows)), 10**6)
        case "stored":
            held = sum(
                part_in(raw["bytes"], tier) * ((row["to"] - row["from"]) // timedelta(microseconds=1))
                for row, raw in raw_rows
            )
            return Fraction(held, 10**6)
        case "moved":
            return Fraction(sum(raw["bytes"] for _, raw in raw_rows))
        case _:
            return Fraction(max(int(raw["quantity"]) for _, raw in raw_rows))


def runs(raw_rows: list[tuple[dict, dict]]) -> Iterator[list[tuple[datetime, datetime]]]:
    """The runs of each instance, cut to the time in which the line's price applied."""
    of_instance: dict[str, list[tuple[datetime, datetime]]] = {}
    for row, raw in raw_rows:
        start, stop = max(raw["started_at"], row["from"]), min(raw["stopped_at"] or row["to"], row["to"])
        of_instance.setdefault(raw["instance_id"], []).append((start, stop))
    yield from of_instance.values()


def microseconds_run(spans: list[tuple[datetime, datetime]]) -> int:
    """The length of the union."""
    covered, reached = timedelta(0), min(start for start, _ in spans)
    for start, stop in sorted(spans):
        covered += max(stop - max(start, reached), timedelta(0))
        reached = max(reached, stop)
    return covered // timedelta(microseconds=1)


def part_in(size: int, tier: dict) -> int:
    """What of a stored size its tier bills."""
    if tier["tier_mode"] != "graduated":
        return size
    return min(size, int(tier["tier_to"]) if tier["tier_to"] is not None else size) - int(tier["tier_from"])


@pytest.mark.parametrize("month", [JANUARY, FEBRUARY])
def test_the_raw_rows_of_every_metered_line_counted_in_plain_python_are_what_was_measured(
    sample, lines_with_rows, landed, month
):
    measured = {step["line_id"]: step for step in steps_of(sample, month) if step["what"] == "measured"}
    tiers = {
        (tier["price_id"], tier["price_factor_ppm"], tier["tier_from"]): tier
        for tier in sample.rows("accounts/prices", month)
    }
    bases = set()
    for line, rows in lines_with_rows[month]:
        if line["price_id"] is not None:
            tier = tiers[line["price_id"], line["price_factor_ppm"], line["tier_from"]]
            assert counted(line, rows, landed, tier) == Fraction(measured[line["line_id"]]["quantity"]), line
            bases.add(line["basis"])
    assert bases == {"runtime", "stored", "moved", "units"}


@pytest.fixture(scope="module")
def payer(sample) -> str:
    """Who was billed for the most kinds of usage, and the most lines."""
    lines = sample.generation("invoices/invoice_lines", JANUARY).read()
    kinds = lines.group_by("payer_id").agg(pl.col("basis").n_unique(), pl.len()).sort("basis", "len", "payer_id")
    return kinds["payer_id"][-1]


def test_each_line_is_printed_with_its_steps_its_rows_and_their_files(sample, payer):
    shown = re.compile(r"^ {4}\S.* {2}(?P<path>\S+\.parquet) row (?P<row>\d+)\s*$", re.MULTILINE)
    lines = sample.rows("invoices/invoice_lines", JANUARY, payer_id=payer)
    rows = {line["line_id"]: rows.height for line, rows in rows_of_lines(sample.billing, payer, Month.parse(JANUARY))}
    of_each_kind = {line["basis"]: line for line in lines}
    assert len(of_each_kind) >= 5
    for line in of_each_kind.values():
        command = sample.command("explain", f"{payer}/{JANUARY}", str(line["line_number"]))

        assert command.exit_code == 0, command.output
        assert len(shown.findall(command.output)) == rows[line["line_id"]]
        assert len(set(re.findall(r"sha256 ([0-9a-f]{64})", command.output))) == len(
            {path for path, _ in shown.findall(command.output)}
        )
        assert "rounded once, half away from zero" in command.output


@pytest.mark.parametrize("figure", [*"abAcdefghBiF", *INVOICED])
def test_every_figure_is_explained_by_letter_or_name_with_commands_that_work(sample, payer, figure):
    command = sample.command("explain", JANUARY, "--organisation", payer, "--figure", figure)

    assert command.exit_code == 0, command.output
    for deeper in re.findall(r"^ {2}billing (.+)$", command.output, re.MULTILINE):
        assert sample.command(*deeper.split()).exit_code == 0, deeper


def test_an_invoice_is_explained_by_its_number_with_its_formulas_and_lines(published):
    command = published.command("explain", "INV-2026-000001")

    assert command.exit_code == 0
    assert re.search(r"h  refill +€682\.43 +max\(0, −\(A \+ c \+ d \+ e \+ f \+ g\)\)", command.output)
    assert re.search(r"^ +1 +apps of abroad +apps\.first +€686\.89 *$", command.output, re.MULTILINE)


def test_a_line_is_explained_by_its_id_too(published):
    (line,) = published.rows("invoices/invoice_lines", "2026-03", payer_id="abroad")

    by_invoice = published.command("explain", "INV-2026-000001", line["line_id"])
    by_month = published.command("explain", line["line_id"], "2026-03", "--organisation", "abroad")

    assert re.search(r"2,678,400 s +× 0\.92323924731182795699 EUR / 3,600 = 686\.89", by_invoice.output)
    assert by_month.output == by_invoice.output


def test_a_refill_is_explained_by_its_terms(published):
    command = published.command("explain", "INV-2026-000001", "--figure", "h")

    terms = re.findall(r"^ {4}([A-Ba-i]) .*?(−?)€([\d,.]+) *$", command.output, re.MULTILINE)
    assert [(letter, sign + amount) for letter, sign, amount in terms] == [
        ("A", "−691.35"), ("c", "0.00"), ("d", "0.00"), ("e", "686.89"), ("f", "686.89"), ("g", "0.00"),
    ]  # fmt: skip


def test_a_negotiated_refill_names_who_agreed_to_it(published):
    command = published.command("explain", "2026-03", "--organisation", "main", "--figure", "refill")

    assert re.search(r"agreed +€0\.00 +Sales: In arrears", command.output)


def test_an_issued_invoice_is_explained_from_what_it_was_issued_from(published):
    command = published.command("explain", "INV-2026-000001")

    assert command.output.startswith("INV-2026-000001: Abroad (abroad)")


def test_a_published_table_is_shown_as_a_table_as_csv_or_as_json_lines(published):
    shown = ("show", "invoices/invoices", "2026-03", "--organisation", "french")

    rows = [json.loads(row) for row in published.command(*shown, "--format", "jsonl").output.splitlines()]
    assert [(row["number"], row["payable_cents"]) for row in rows] == [("INV-2026-000003", 818_92)]
    (cells,) = csv.DictReader(published.command(*shown, "--format", "csv").output.splitlines())
    assert (cells["payer_id"], cells["number"], cells["payable_cents"]) == ("french", "INV-2026-000003", "81892")
    assert "1 rows" in published.command(*shown).output


def test_usage_is_shown_with_what_its_meters_stand_for_and_its_raw_rows(published):
    command = published.command(
        "show", "usage/runtime_intervals", "2026-03", "--organisation", "main", "--format", "csv"
    )

    header, row = command.output.splitlines()
    shown = dict(zip(header.split(","), row.split(","), strict=True))
    assert (shown["owner_id"], shown["slug"], shown["instance_id"]) == ("main", "apps.main", "main-apps-main")
    assert shown["stopped_at"] == ""
    assert shown["file_row"] == "2"


def test_the_state_of_all_months_and_of_one_is_told(published, sample):
    assert re.search(r"2026-03 +│ issued +│ +4 │", published.command("status").output)
    month = sample.command("status", JANUARY).output
    assert re.search(r"2026-01 +│ draft", month)
    assert "tax_unknown" in month
    assert re.search(r"clearing  1000000 ", month)


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (["explain", "INV-2026-999999"], "a draft is named PAYER/MONTH"),
        (["explain", "nobody/2026-03"], "billing status 2026-03 says who is parked"),
        (["explain", "INV-2026-000001", "99"], "it has lines 1 to 1"),
        (["explain", "INV-2026-000001", "--figure", "z"], "it has F, a, b, A"),
        (["explain", "INV-2026-000001", "1", "--figure", "h"], "leave out the line 1"),
        (["explain", "1", "--organisation", "abroad"], "with --organisation goes the MONTH"),
        (["explain", "2026-03", "0123456789abcdef", "--organisation", "abroad"], "has no line 0123456789abcdef"),
        (["explain", "2026-03", "--organisation", "stranger"], "stranger has no invoice for 2026-03"),
        (["explain", "2026-04", "--organisation", "abroad"], "is not published"),
        (["show", "rating/charges", "2026-13"], "write it as 2026-10"),
        (["bill", "2026-03..2026-01"], "write the older month first"),
        (["bill", "2026-03", "--as-of", "2026-05-01T00:00:00"], "has no offset"),
        (["show", "rating/nothing", "2026-03"], "rating/nothing of month=2026-03 is not published"),
        (["show", "nonsense", "2026-03"], "write it as <stage>/<table>"),
    ],
)
def test_a_wrong_request_fails_and_says_what_would_be_right(published, arguments, advice):
    command = published.command(*arguments)

    assert command.exit_code != 0
    assert isinstance(command.exception, SystemExit), "a message, not a traceback"
    assert advice in command.output


@pytest.mark.parametrize("name", ["", "demo", "close", "issue", "bill", "status", "show", "explain", "ui"])
def test_every_command_says_how_it_is_used(published, name):
    command = published.command(*name.split(), "--help")

    assert command.exit_code == 0
    assert "Usage:" in command.output


def told(home: ProviderHome, month: str, payer: str, figure: str, slug: str = "") -> list[tuple]:
    """What, quantity and amount of the steps of a figure; of the payer's only line of a slug, where one is named."""
    lines = home.rows("invoices/invoice_lines", month, payer_id=payer, slug=slug) if slug else [{"line_id": ""}]
    (line_id,) = {line["line_id"] for line in lines}
    steps = home.rows("invoices/explanations", month, payer_id=payer, line_id=line_id, figure=figure)
    quantity = [None if step["quantity"] is None else Fraction(step["quantity"]) for step in steps]
    return [(step["what"], many, step["amount_cents"]) for step, many in zip(steps, quantity, strict=True)]


MARCH = "2026-03"


def test_nobody_with_a_feature_is_parked(features):
    assert features.reasons(FEBRUARY) == features.reasons(MARCH) == {}


def test_a_package_and_blocks_are_rounded_up_from_what_was_counted(features):
    assert told(features, MARCH, "packed", "amount", "mail.sent") == [
        ("measured", 1_001, None), ("blocks", 999, None), ("price", 2_000, None), ("rounded", None, 70),
    ]  # fmt: skip
    assert told(features, MARCH, "packed", "amount", "traffic.out")[:2] == [
        ("measured", 1_500_000_000, None), ("blocks", 500_000_000, None),
    ]  # fmt: skip


def test_what_is_free_of_a_resource_is_taken_out_before_tiers_and_blocks(features):
    # 30 h of which 12 are free: the first tier ends after 10, so 2 of the second tier's 20 are free, too.
    assert told(features, MARCH, "freed", "amount", "gpu.s") == [
        ("measured", 108_000, None), ("tier", -36_000, None), ("free_quantity", -7_200, None),
        ("price", 64_800, None), ("tier_entry", 1, None), ("rounded", None, 290),
    ]  # fmt: skip
    assert told(features, MARCH, "freed", "amount", "mail.sent") == [
        ("measured", 1_001, None), ("free_quantity", -500, None), ("blocks", 499, None), ("price", 1_000, None),
        ("rounded", None, 35),
    ]  # fmt: skip
    assert told(features, MARCH, "freed", "amount", "traffic.out")[:3] == [
        ("measured", 1_500_000_000, None), ("free_quantity", -700_000_000, None), ("blocks", 200_000_000, None),
    ]  # fmt: skip
    for number in range(1, 4):
        output = features.command("explain", MARCH, str(number), "--organisation", "freed").output
        assert re.search(r"free.+the first [\d,]+ of a resource", output), output


def test_granules_and_the_least_time_of_a_run_are_told_apart(features):
    assert told(features, MARCH, "granular", "amount", "jobs.s") == [
        ("measured", 90, None), ("granules", 510, None), ("price", 600, None), ("rounded", None, 6),
    ]  # fmt: skip
    assert told(features, MARCH, "granular", "amount", "crons.s")[:2] == [
        ("measured", 90, None), ("minimum", 30, None),
    ]  # fmt: skip


def test_unusable_time_is_measured_and_taken_out(features):
    assert told(features, MARCH, "broken", "amount", "apps.s")[:2] == [
        ("measured", 36_000, None), ("unusable", -3_600, None),
    ]  # fmt: skip
    output = features.command("explain", MARCH, "1", "--organisation", "broken").output
    assert "1 parts of them not billed" in output
    assert "power cut" in output


def test_small_resources_on_one_line_are_listed_with_their_shares(features):
    assert told(features, MARCH, "tiny", "amount", "tiny.s") == [
        ("resource", 100, 0), ("resource", 110, 0), ("resource", 120, 0), ("resource", 130, 1),
        ("price", 460, None), ("rounded", None, None),
    ]  # fmt: skip


def test_a_vendors_charge_leads_to_its_event(features):
    command = features.command("explain", MARCH, "1", "--organisation", "vended")

    assert "Acme Add-ons: Logs" in command.output
    assert len(re.findall(r"parquet row \d", command.output)) == 1


def test_each_heartbeat_holds_until_the_next_one_and_no_further_than_the_price(features):
    ((line, rows),) = [shown for shown in shown_lines(features, MARCH) if shown[0]["owner_id"] == "beating"]

    assert sum(((row["to"] - row["from"]) for row in rows), timedelta()) == timedelta(seconds=line["duration_s"])
    assert line["duration_s"] == 2_700
    assert rows[0]["from"] == datetime.fromisoformat("2026-03-01T00:00:00Z")
    assert len(rows) == 9


def test_rules_are_steps_of_the_fees_and_lines_of_their_own(features):
    assert [what for what, *_ in told(features, MARCH, "discounted", "fees")] == ["lines", *["discount"] * 3]
    lines = features.rows("invoices/invoice_lines", MARCH, payer_id="discounted")
    shown = {
        line["line_number"]: features.rows("invoices/explanations", MARCH, line_id=line["line_id"], figure="amount")
        for line in lines
        if line["rule_kind"]
    }
    assert [[step["what"] for step in steps] for steps in shown.values()] == [
        ["rate", "rounded"], ["base", "limit", "lowered"], ["rate", "rounded"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("payer", "slug", "steps"),
    [
        ("gratis", "discount", [("base", 1_000, None), ("limit", 5_000, None), ("beyond_base", 4_000, None),
                                ("lowered", None, -1_000)]),
        ("capped", "maximum", [("base", 1_000, None), ("limit", 300, None), ("lowered", None, -700)]),
        ("floored", "minimum", [("base", 1_000, None), ("limit", 2_000, None), ("top_up", None, 1_000)]),
        ("committed", "commitment", [("base", 1_000, None), ("limit", 3_000, None), ("top_up", None, 2_000)]),
    ],
)  # fmt: skip
def test_the_line_of_a_rule_goes_from_its_base_over_its_limit_to_its_amount(features, payer, slug, steps):
    assert told(features, MARCH, payer, "amount", slug) == steps


def test_a_line_bears_a_part_of_every_discount(features):
    ((_, _, charge), *shares) = told(features, MARCH, "discounted", "due", "apps.s")

    assert charge == 1_000
    # 10 % and 5.00 of 20.00, which the two lines share; 5 % of what is left.
    assert shares == [("discount_share", None, -100), ("discount_share", None, -250), ("discount_share", None, -33)]


def test_credits_of_who_pays_no_longer_are_terms_of_whoever_took_them_over(features):
    assert told(features, MARCH, "head", "free_before") == [("transferred_in", None, 500)]
    assert ("transferred_in", None, 2_000) in told(features, MARCH, "head", "prepaid_before")


def test_every_account_of_a_month_with_every_feature_clears(features):
    for month in (FEBRUARY, MARCH):
        assert {row["ppm"] for row in features.rows("invoices/scores", month, score="clearing")} == {1_000_000}


def test_the_first_statement_says_why_it_asks_for_no_refill(features):
    assert told(features, FEBRUARY, "capped", "refill") == [("not_yet", None, 0)]
    output = features.command("explain", FEBRUARY, "--organisation", "capped", "--figure", "h").output
    assert "statement 1 of the first 1, which ask for no refill" in output


def test_an_estimate_by_the_day_says_which_days(features):
    assert told(features, MARCH, "capped", "forecast") == [("recurring", 300, None), ("strategy", None, -290)]
    output = features.command("explain", MARCH, "--organisation", "capped", "--figure", "f").output
    assert "30 days of 2026-04 / 31 days of 2026-03" in output


@pytest.mark.parametrize(("payer", "figure"), [("head", "a"), ("head", "b"), ("discounted", "F"), ("capped", "g")])
def test_terms_of_features_lead_deeper(features, payer, figure):
    command = features.command("explain", MARCH, "--organisation", payer, "--figure", figure)

    assert command.exit_code == 0, command.output
    deeper = re.findall(r"^ {2}billing (.+)$", command.output, re.MULTILINE)
    assert [features.command(*each.split()).exit_code for each in deeper] == [0] * len(deeper)


def test_entering_a_tier_is_paid_once(features):
    lines = features.rows("invoices/invoice_lines", MARCH, payer_id="entered")
    steps = features.rows("invoices/explanations", MARCH, payer_id="entered", figure="amount", what="tier_entry")

    # 10 h at 0.10 and, for 2.00, 20 h at 0.05.
    assert sorted(line["amount_cents"] for line in lines) == [100, 300]
    assert [(step["quantity"], step["unit_price"]) for step in steps] == [(1, 2)]
