"""Fills the parts of the README that are read from the code: the flow and the feeds.

`python tools/readme.py` writes them; a test holds the README against `rendered()`.
"""

import re
from pathlib import Path

from billing_pipeline.definitions import defs
from billing_pipeline.intake.contracts import FEEDS, Column

README = Path(__file__).resolve().parent.parent / "README.md"

_WHAT = {
    "accounts": "organisations, prices, grants, payments",
    "usage": "checked, deduplicated, corrected",
    "rating": "dbt on DuckDB: seconds, volumes, charges",
    "interim": "asked for while the month runs",
    "credits": "Polars: free, prepaid, refill",
    "invoices": "drafts, tax; numbers last",
    "documents": "HTML, PDF and XML per organisation",
    "exports": "the journal in double entry",
    "corrections": "issued months, rated again",
}


def draw_flow() -> str:
    """The stages as a Mermaid flowchart, in the order in which they feed each other."""
    specs = defs().resolve_all_asset_specs()
    stage_of = {spec.key: str(spec.group_name) for spec in specs}
    edges = {
        (stage_of[dep.asset_key], stage_of[spec.key])
        for spec in specs
        for dep in spec.deps
        if dep.asset_key in stage_of and stage_of[dep.asset_key] != stage_of[spec.key]
    }
    order = list(_WHAT)
    stages = [f'    {stage}["<b>{stage}</b><br>{what}"]' for stage, what in _WHAT.items()]
    arrows = [f"    {a} --> {b}" for a, b in sorted(edges, key=lambda edge: tuple(map(order.index, edge)))]
    return "\n".join(
        ["```mermaid", "flowchart LR", "    landing[(landing files)] --> accounts & usage", *stages, *arrows, "```"]
    )


def list_feeds() -> str:
    """The columns of every feed; optional ones end with a question mark."""
    rows = ["| feed | natural key | columns |", "|---|---|---|"]
    for feed in FEEDS.values():
        columns = ", ".join(_column(column) for column in feed.columns)
        rows.append(f"| `{feed.name}` | {', '.join(feed.natural_key)} | {columns} |")
    return "\n".join(rows)


def rendered(readme: str) -> str:
    """The README with its generated parts as the code has them."""
    for name, text in (("flow", draw_flow()), ("feeds", list_feeds())):
        block = f"<!-- {name} -->\n{text}\n<!-- /{name} -->"
        readme, count = re.subn(
            rf"<!-- {name} -->.*<!-- /{name} -->", lambda _, block=block: block, readme, flags=re.DOTALL
        )
        if count != 1:
            message = f"the README has {count} parts <!-- {name} -->; it needs one"
            raise ValueError(message)
    return readme


def _column(column: Column) -> str:
    return f"{column.name}{'?' if column.is_optional else ''} ({column.type.value})"


if __name__ == "__main__":
    README.write_text(rendered(README.read_text(encoding="utf-8")), encoding="utf-8")
