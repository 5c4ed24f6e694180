"""The days of the month on page 1: bars of the printed amounts, service upon service."""

import re
from datetime import date
from itertools import pairwise

import pypdfium2 as pdfium
import pytest
from document_rows import rows
from lxml import etree

from billing_pipeline.documents import pictures
from billing_pipeline.documents.rendering import render_html, render_pdf
from billing_pipeline.tables.rating import DailyWeights


def weigh(*weights: tuple[str, int, int], payer_id: str = "orga_1"):
    """Weights of October 2026: service, day and weight."""
    records = [
        {"payer_id": payer_id, "service": service, "day": date(2026, 10, day), "weight": weight}
        for service, day, weight in weights
    ]
    return rows(DailyWeights, *records) if records else DailyWeights.create_empty()


def bars(picture) -> list[tuple[int, int, int, str]]:
    """Place, lower edge from the ground up, height and colour of each bar."""
    rectangles = [rectangle.attrib for rectangle in etree.fromstring(picture).iter("rect")][:-1]
    return [
        (int(bar["x"]) // 27, 1000 - int(bar["y"]) - int(bar["height"]), int(bar["height"]), bar["fill"])
        for bar in rectangles
    ]


def test_services_stand_on_top_of_each_other_and_the_highest_day_fills_the_picture():
    picture = pictures.daily_bars([(0, [50, 0, 25]), (1, [50, 10, 0])], "Costs")

    violet, blue = "#3b34a9", "#7f8be8"
    assert bars(picture) == [(0, 0, 500, violet), (2, 0, 250, violet), (0, 500, 500, blue), (1, 0, 100, blue)]


def test_a_picture_of_days_is_rectangles_and_a_title():
    root = etree.fromstring(pictures.daily_bars([(0, [1] * 31)], "Costs of <days>"))
    assert {child.tag for child in root} == {"title", "rect"}
    assert (root.find("title").text, root.get("viewBox")) == ("Costs of <days>", "0 0 830 1008")


def test_neighbouring_levels_leave_no_gap_whatever_is_rounded():
    stacked = bars(pictures.daily_bars([(place, [1, 2]) for place in range(6)], ""))
    for day in (0, 1):
        levels = [(low, low + height) for at, low, height, _ in stacked if at == day]
        assert [high for _, high in levels[:-1]] == [low for low, _ in levels[1:]]
    assert max(low + height for _, low, height, _ in stacked) == 1000


def _luminance(colour: str) -> float:
    """https://www.w3.org/TR/WCAG21/#dfn-relative-luminance."""
    shares = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [share / 12.92 if share <= 0.03928 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return sum(factor * share for factor, share in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_every_colour_is_told_from_paper_and_from_its_neighbours():
    colours = list(dict.fromkeys(bar[3] for bar in bars(pictures.daily_bars([(n, [1]) for n in range(6)], ""))))
    lights = [_luminance(colour) for colour in colours]
    assert len(colours) == 6
    assert min(1.05 / (light + 0.05) for light in lights) >= 3
    pairs = [sorted(pair) for pair in pairwise(lights)]
    assert min((bright + 0.05) / (dark + 0.05) for dark, bright in pairs) >= 2


TOPPED_UP = {"basis": "true_up", "slug": "minimum", "amount_cents": 70_00, "rule_kind": "minimum"}
USAGE = [{"amount_cents": 60_00}, {"slug": "mysql.s", "amount_cents": 30_01}]


def test_the_bars_are_of_the_printed_amounts(month):
    view = month.bill(usage=USAGE).view(weights=weigh(("apps", 1, 1), ("apps", 2, 2), ("mysql", 2, 7), ("redis", 3, 9)))

    assert view.daily.highest == "Highest €70.01 on 2026-10-02"
    assert (view.daily.first_day, view.daily.last_day) == ("2026-10-01", "2026-10-31")
    assert "<title>Cost by day and service, the highest €70.01 on 2026-10-02</title>" in view.daily.picture
    assert [(day, height) for day, _, height, _ in bars(view.daily.picture)] == [(0, 286), (1, 571), (1, 429)]
    assert [service.is_drawn for service in view.services] == [True, True]


def test_what_has_no_day_is_listed_and_not_drawn(month):
    view = month.bill(usage=[TOPPED_UP, {"amount_cents": 60_00}]).view(weights=weigh(("apps", 4, 1)))

    assert [(service.name, service.is_drawn) for service in view.services] == [
        ("Minimums", False), ("Applications", True),
    ]  # fmt: skip
    # The colour is that of the place in the list.
    assert bars(view.daily.picture) == [(3, 0, 1000, "#7f8be8")]


def test_the_smallest_services_are_drawn_together(month):
    slugs = ["apps", "mysql", "redis", "cellar", "pulsar", "es", "elasticsearch", "kafka"]
    usage = [{"slug": f"{slug}.s", "amount_cents": 100 - place} for place, slug in enumerate(slugs)]
    view = month.bill(usage=usage).view(weights=weigh(*((slug, 1 + place, 5) for place, slug in enumerate(slugs))))

    assert len(view.services) == 6
    # Elasticsearch is one service of two slugs, and so is first.
    drawn = bars(view.daily.picture)
    assert [(day, fill) for day, _, _, fill in drawn if fill == "#8a8c9b"] == [(4, "#8a8c9b"), (7, "#8a8c9b")]
    assert len(drawn) == 8


@pytest.mark.parametrize(
    ("usage", "weights"),
    [
        ([], [("apps", 1, 1)]),
        ([{"amount_cents": 5}], []),
        ([{"amount_cents": 5}], [("mysql", 1, 1)]),
        ([{"basis": "one_shot", "slug": "one_shot", "unit": "piece", "amount_cents": 5}], [("one_shot", 1, 1)]),
        ([{"amount_cents": -5}, TOPPED_UP], [("apps", 1, 1)]),
    ],
    ids=["nothing used", "no weights", "other weights", "nothing metered", "given back"],
)
def test_nothing_is_drawn_where_no_day_costs_anything(month, usage, weights):
    view = month.bill(usage=usage).view(weights=weigh(*weights))
    assert view.daily is None
    assert 'class="days"' not in render_html(view)


def test_another_payers_days_are_not_drawn(month):
    month.bill(usage=USAGE).bill("orga_2", usage=USAGE)
    views = month.views(weights=weigh(("apps", 1, 1), payer_id="orga_2"))
    assert [view.daily is None for view in views] == [True, False]


def test_the_chart_is_read_in_french(month):
    view = month.bill(usage=USAGE, language="fr").view(weights=weigh(("apps", 1, 1)))
    assert view.daily.highest == "Maximum 60,00\N{NO-BREAK SPACE}€ le 01/10/2026"
    assert "au plus 60,00\N{NO-BREAK SPACE}€ le 1er octobre 2026</title>" in view.daily.picture
    assert view.daily.last_day == "31/10/2026"


@pytest.mark.parametrize(("services", "discounts"), [(1, 3), (6, 0)])
def test_page_1_still_holds_the_summary(month, services, discounts, read_pages):
    slugs = ["apps", "mysql", "redis", "cellar", "pulsar", "kafka"][:services]
    discount = {"basis": "discount", "slug": "discount", "resource_id": "discount", "rule_kind": "invoice_discount"}
    lines = [discount | {"rule_rate_ppm": 1000, "amount_cents": -1, "description": "Agreed"}] * discounts
    month.bill(usage=[*({"slug": slug, "amount_cents": 10_00} for slug in slugs), *lines], prepaid=5)
    pdf = render_pdf(month.view(weights=weigh(*((slug, day, 1) for slug in slugs for day in range(1, 32)))))

    pages = read_pages(pdf)

    assert len(pages) == 3
    assert "2026-10-31" in pages[0].partition("COST BY DAY")[2].partition("Terms.")[0]
    # The bars are drawn, a rectangle each.
    page = pdfium.PdfDocument(pdf)[0]
    assert len(list(page.get_objects(filter=[pdfium.raw.FPDF_PAGEOBJ_PATH]))) > 31 * services


def test_the_key_beside_a_service_has_the_colour_of_its_bars(month):
    html = render_html(month.bill(usage=USAGE).view(weights=weigh(("apps", 1, 1), ("mysql", 2, 1))))
    painted = re.findall(r"\.key \{[^}]*background: (#[0-9a-f]{6}) \}", html)
    drawn = [bar[3] for bar in bars(pictures.daily_bars([(place, [1]) for place in range(6)], ""))]
    assert painted == drawn
    assert html.count('<span class="key"></span>') == 2
