"""Times documents stamped into forms beside the same documents laid out by WeasyPrint, in one run.

    python tests/benchmarks/stamping.py [--documents 200] [--laid-out 10] [--lines 10]

Invoices are drawn from a seed in the shapes of one, with amounts, numbers and names of their own, so that no string is
shaped twice because documents are alike. The first document of a shape is not counted: it lays the form out, which is
given apart. One process, CPU seconds; wall clock on a busy machine means nothing.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from random import Random
from time import process_time

# Run as a script: the package lies two folders up, the generator among the tests of documents.
sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[1] / "documents"))

from conftest import InvoiceMonth
from invoice_generator import generate_view

from billing_pipeline.documents.rendering import render_pdf
from billing_pipeline.documents.stamping.press import Misfit, Press
from billing_pipeline.documents.view import InvoiceView, OwnerLinesView

_SEED = 8


def vary(view: InvoiceView, number: int, lines: int) -> InvoiceView:
    """The same shape with other figures and names, and as many detail lines as asked for."""
    draw = Random(number)

    def amount() -> str:
        return f"€{draw.randint(1, 999)},{draw.randint(0, 999):03d}.{draw.randint(0, 99):02d}"

    def owner_lines(owner: OwnerLinesView) -> OwnerLinesView:
        service = owner.services[0]
        line = service.lines[0]
        varied = tuple(
            replace(
                line,
                name=f"resource {draw.getrandbits(24)}",
                resource_id=f"app_{draw.getrandbits(48):012x}",
                usage=f"{draw.randint(1, 29)}d {draw.randint(0, 23):02d}h {draw.randint(0, 59):02d}m",
                amount=amount(),
            )
            for _ in range(lines)
        )
        return replace(owner, services=(replace(service, amount=amount(), lines=varied),))

    return replace(
        view,
        number=f"INV-2026-{number:06d}",
        buyer=replace(view.buyer, name=f"Customer {draw.getrandbits(20)}"),
        panel=replace(view.panel, amount=amount()),
        totals=tuple(replace(total, amount=amount()) for total in view.totals),
        statement=tuple(replace(row, amount=amount()) for row in view.statement),
        services=tuple(replace(service, amount=amount()) for service in view.services),
        details=tuple(owner_lines(owner) for owner in view.details[:1]),
    )


def main() -> None:
    """Stamp and lay out, print what one document of each took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=200, help="how many are stamped")
    parser.add_argument("--laid-out", type=int, default=10, help="how many of them WeasyPrint lays out")
    parser.add_argument("--lines", type=int, default=10, help="detail lines of each")
    asked = parser.parse_args()
    view = generate_view(InvoiceMonth(), _SEED)
    views = [vary(view, number, asked.lines) for number in range(asked.documents + 1)]
    render_pdf(views[0])

    press = Press()
    start = process_time()
    press.stamp(views[0])
    form_s = process_time() - start
    start = process_time()
    stamped = [press.stamp(view) for view in views[1:]]
    stamped_s = (process_time() - start) / asked.documents
    start = process_time()
    for view in views[1 : asked.laid_out + 1]:
        render_pdf(view)
    laid_out_s = (process_time() - start) / asked.laid_out

    misfits = sum(isinstance(pdf, Misfit) for pdf in stamped)
    kilobytes = max(len(pdf) for pdf in stamped if not isinstance(pdf, Misfit)) / 1000
    sys.stdout.write(
        f"{asked.lines} lines: stamped {1000 * stamped_s:.1f} ms ({1 / stamped_s:.1f}/s), laid out "
        f"{1000 * laid_out_s:.1f} ms ({1 / laid_out_s:.2f}/s): {laid_out_s / stamped_s:.0f} times as fast; "
        f"form {form_s:.2f} s, {kilobytes:.0f} kB, {misfits} of {len(stamped)} did not fit\n"
    )


if __name__ == "__main__":
    main()
