"""Prints the flow of the README: the stages and what feeds what, read from the Dagster definitions."""

from billing_pipeline.definitions import defs

_WHAT = {
    "accounts": "organisations, prices, grants, payments",
    "usage": "checked, deduplicated, corrected",
    "rating": "dbt on DuckDB: seconds, volumes, charges",
    "credits": "Polars: free, prepaid, refill",
    "invoices": "drafts, tax; numbers last",
    "documents": "HTML and PDF per organisation",
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
    lines = ["flowchart LR", "    landing[(landing files)] --> accounts & usage"]
    lines += [f'    {stage}["<b>{stage}</b><br>{what}"]' for stage, what in _WHAT.items()]
    lines += [
        f"    {a} --> {b}" for a, b in sorted(edges, key=lambda edge: (order.index(edge[0]), order.index(edge[1])))
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(draw_flow())  # noqa: T201 - its purpose
