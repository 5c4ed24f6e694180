"""Times documents: stamped, laid out by WeasyPrint as this pipeline asks it to and in a plain loop, and by Typst.

    python tests/benchmarks/documents.py [--lines 10 250 3000 30000] [--engines stamped lean plain typst] [--seconds 6]

Every engine sets the same invoices, each row of the table in fresh processes at the same time, and writes the files.
Invoices are one drawn from a seed with figures, numbers and names of their own, so that no string is set twice because
documents are alike; another process makes them, and a process takes them up one by one, as the pool hands them over.
Making them is not counted; the first document of a process (imports, parts laid out once) is given apart.

- `stamped` and `lean` are PDF/A-3a and PDF/UA-1 with the e-invoice in them: `render_pdf`, and the same laid out;
- `plain` is `HTML(string=page).write_pdf()`, page by page: neither tags nor e-invoice;
- `typst` is an equivalent invoice (`invoice.typ`), PDF/A-3a and PDF/UA-1, if the group `benchmarks` is installed.

On a busy machine only CPU seconds mean something. Ratios are of CPU seconds, to `plain` where it ran.
"""

import argparse
import multiprocessing
import os
import pickle
import platform
import resource
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from random import Random
from statistics import median
from threading import Barrier
from time import perf_counter, process_time
from typing import Any

# Run as a script: the package lies two folders up, the generator among the tests of documents.
sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[1] / "documents"))

from billing_pipeline.documents.view import InvoiceView, LineView, OwnerLinesView, ServiceLinesView

Engine = Callable[[InvoiceView], bytes]

#: Of the generator: one organisation, three services, a coupon and a code to pay by; three pages.
_SEED = 14
#: Invoices a second that two quiet cores must reach, by their lines.
_FLOORS = {10: 200, 250: 40, 3_000: 5}
#: From so many lines on, an engine sets one document in one process, after a short one; and how many it never sets.
_ONCE = {"lean": 3_000, "plain": 3_000, "typst": 30_000}
_NEVER = {"lean": 30_000, "plain": 30_000}
_PROCESSES = 2
#: More than two processes set in the seconds they have by default.
_DOCUMENTS_MAX = 3_000
_LINES_MADE_MAX = 200_000


@dataclass(frozen=True)
class Lap:
    """What one process set: seconds of its first document, and of each other, by the clock and of CPU."""

    first_s: float
    wall_s: list[float]
    cpu_s: list[float]
    peak_mb: int
    size: int


def make_views(folder: Path, lines: int) -> list[Path]:
    """Invoices of so many lines, as files."""
    from conftest import InvoiceMonth
    from invoice_generator import generate_view

    view = generate_view(InvoiceMonth(), _SEED)
    files = [folder / f"{lines}-{number}.view" for number in range(_count(lines))]
    for number, file in enumerate(files):
        file.write_bytes(pickle.dumps(vary(view, number, lines)))
    return files


def _count(lines: int) -> int:
    return max(2 * _PROCESSES, min(_DOCUMENTS_MAX, _LINES_MADE_MAX // lines))


def vary(view: InvoiceView, number: int, lines: int) -> InvoiceView:
    """The same shape with other figures and names, and as many lines as asked for, spread over the services."""
    draw = Random(number)

    def amount() -> str:
        return f"€{draw.randint(1, 999)},{draw.randint(0, 999):03d}.{draw.randint(0, 99):02d}"

    def another(line: LineView) -> LineView:
        return replace(
            line,
            name=f"resource {draw.getrandbits(24)}",
            resource_id=f"app_{draw.getrandbits(64):016x}",
            usage=f"{draw.randint(1, 29)}d {draw.randint(0, 23):02d}h {draw.randint(0, 59):02d}m",
            amount=f"€{draw.randint(0, 999)}.{draw.randint(0, 99):02d}",
        )

    def service_lines(service: ServiceLinesView, share: int) -> ServiceLinesView:
        return replace(service, amount=amount(), lines=tuple(another(service.lines[0]) for _ in range(share)))

    def owner_lines(owner: OwnerLinesView) -> OwnerLinesView:
        services = owner.services
        shares = [
            lines * (place + 1) // len(services) - lines * place // len(services) for place in range(len(services))
        ]
        return replace(owner, services=tuple(map(service_lines, services, shares)))

    document_number = f"INV-2026-{number:06d}"
    return replace(
        view,
        number=document_number,
        title=f"Invoice {document_number}",
        running_title=f"Invoice {document_number}",
        buyer=replace(view.buyer, name=f"Customer {draw.getrandbits(20)}"),
        panel=replace(view.panel, amount=amount()),
        totals=tuple(replace(total, amount=amount()) for total in view.totals),
        statement=tuple(replace(row, amount=amount()) for row in view.statement),
        services=tuple(replace(service, amount=amount()) for service in view.services),
        details=tuple(map(owner_lines, view.details)),
        einvoice=replace(view.einvoice, number=document_number) if view.einvoice else None,
    )


def stamped() -> Engine:
    """As a month's documents are made; one that was laid out instead would not be what is measured."""
    from billing_pipeline.documents.rendering import render_pdf

    def stamp(view: InvoiceView) -> bytes:
        pdf = render_pdf(view)
        if b"<pdf:Producer>billing_pipeline<" not in pdf:
            message = f"{view.number} was not stamped"
            raise RuntimeError(message)
        return pdf

    return stamp


def lean() -> Engine:
    """The same laid out; fonts and stylesheet are read once."""
    from billing_pipeline.documents.rendering import lay_out_pdf

    return lay_out_pdf


def plain() -> Engine:
    """A page with its style, and WeasyPrint as its manual shows it."""
    from weasyprint import HTML

    from billing_pipeline.documents.rendering import render_html

    return lambda view: HTML(string=render_html(view)).write_pdf()


def typst() -> Engine:
    """One compiler for all documents, which are handed over as JSON."""
    import json

    from typst import Compiler, Fonts

    from billing_pipeline.documents import typesetting

    folder = Path(typesetting.__file__).parent / "fonts" / "inter"
    fonts = Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=[str(folder)])
    compiler = Compiler(Path(__file__).with_name("invoice.typ"), font_paths=fonts)

    def compile_view(view: InvoiceView) -> bytes:
        inputs = {"invoice": json.dumps(_told(view), default=_fields)}
        return compiler.compile(format="pdf", sys_inputs=inputs, pdf_standards=["a-3a", "ua-1"])

    return compile_view


def _told(view: InvoiceView) -> dict[str, Any]:
    """What `invoice.typ` prints."""
    from billing_pipeline.documents.stamping.pictures import tell_picture
    from billing_pipeline.documents.texts import TEXTS

    def picture(svg: str) -> dict[str, str]:
        # What browsers need no namespace for, because it stands in a page.
        drawing = str(svg).replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
        return {"svg": drawing, "says": tell_picture(svg)}

    told = _fields(view) | {"einvoice": None, "details": None}
    told["services"] = [replace(service, bar=picture(service.bar)) for service in view.services]
    if view.steps:
        told["steps"] = replace(view.steps, picture=picture(view.steps.picture))
    if view.panel.code:
        told["panel"] = replace(view.panel, code=picture(view.panel.code))
    coupon_heads = ("coupon", "valid_until", "before", "used", "expired", "left")
    detail_heads = ("item", "size_and_zone", "usage", "price", "amount")
    return told | {
        **{name: TEXTS[name] for name in ("page", "page_of", "by_service", "credit_statement")},
        "coupon_heads": [TEXTS[name] for name in coupon_heads],
        "detail_heads": [TEXTS[name] for name in detail_heads],
        "services_billed": [service for owner in view.details for service in owner.services],
    }


def _fields(thing: Any) -> dict[str, Any]:
    return {name: getattr(thing, name) for name in thing.__slots__}


#: The others are told as multiples of the first.
ENGINES: dict[str, Callable[[], Engine]] = {"plain": plain, "lean": lean, "typst": typst, "stamped": stamped}

#: At which all processes of a row wait for each other before they count.
_everybody: list[Barrier] = []
#: Unless one of them has died.
_PATIENCE_S = 600


def _meet_at(barrier: Barrier) -> None:
    _everybody.append(barrier)


def time_engine(name: str, files: Sequence[Path], seconds: float) -> Lap:
    """Set the first document, then others for some seconds, one at least."""
    views = (pickle.loads(file.read_bytes()) for file in files)  # noqa: S301
    start = process_time()
    engine = ENGINES[name]()
    _set(engine, next(views), files[0].parent)
    first_s = process_time() - start
    _everybody[0].wait(_PATIENCE_S)
    wall_s, cpu_s, size = [], [], 0
    for view in views:
        wall, cpu, size = _set(engine, view, files[0].parent)
        wall_s.append(wall)
        cpu_s.append(cpu)
        if sum(wall_s) > seconds:
            break
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return Lap(first_s, wall_s, cpu_s, peak_mb, size)


def _set(engine: Engine, view: InvoiceView, folder: Path) -> tuple[float, float, int]:
    """Wall clock and CPU seconds of a document with its file, and its size."""
    wall, cpu = perf_counter(), process_time()
    pdf = engine(view)
    (folder / f"{view.number}-{os.getpid()}.pdf").write_bytes(pdf)
    return perf_counter() - wall, process_time() - cpu, len(pdf)


def time_row(name: str, files: Sequence[Path], processes: int, seconds: float) -> list[Lap]:
    """What each of some fresh processes took; the first file is the first document of all of them."""
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(processes)
    with ProcessPoolExecutor(processes, spawn, initializer=_meet_at, initargs=(barrier,)) as executor:
        shares = [[files[0], *files[1 + number :: processes]] for number in range(processes)]
        return [lap.result() for lap in [executor.submit(time_engine, name, share, seconds) for share in shares]]


_HEADS = ("processes", "invoices/s", "floor/s", "wall ms", "CPU ms", "first ms", "peak MB", "kB", "x plain")


def report(lines: int, name: str, laps: Sequence[Lap], plain_s: float | None) -> str:
    """A row of the table: medians over all documents, the peak of the process that had the highest."""
    rate = sum(len(lap.wall_s) / sum(lap.wall_s) for lap in laps)
    cpu_s = _median_cpu_s(laps)
    figures = (
        f"{len(laps)}",
        f"{rate:.3g}",
        f"{_FLOORS[lines]}" if name == "stamped" and lines in _FLOORS else "",
        f"{1000 * median(second for lap in laps for second in lap.wall_s):,.1f}",
        f"{1000 * cpu_s:,.1f}",
        f"{1000 * median(lap.first_s for lap in laps):,.0f}",
        f"{max(lap.peak_mb for lap in laps):,}",
        f"{laps[0].size / 1000:,.0f}",
        f"{plain_s / cpu_s:.1f}" if plain_s else "",
    )
    return f"{lines:6,} {name:9}" + "".join(f"{figure:>11}" for figure in figures)


def _median_cpu_s(laps: Sequence[Lap]) -> float:
    return median(second for lap in laps for second in lap.cpu_s)


def machine() -> str:
    """What the figures are measured on."""
    with Path("/proc/cpuinfo").open(encoding="utf-8") as told:
        models = [line.split(":")[1].strip() for line in told if line.startswith("model name")]
    libraries = ", ".join(f"{name} {version(name)}" for name in ("weasyprint", "typst") if find_spec(name))
    return (
        f"{models[0] if models else platform.processor()}, {len(os.sched_getaffinity(0))} cores in use, "
        f"load {os.getloadavg()[0]:.1f} before the run\nPython {platform.python_version()}, {libraries}"
    )


def main() -> None:
    """Measure and print, row by row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, nargs="+", default=[10, 250, 3_000, 30_000])
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--seconds", type=float, default=6, help="how long each process sets documents, for each row")
    asked = parser.parse_args()
    engines = [name for name in ENGINES if name in asked.engines]
    _say(machine())
    if "typst" in engines and not find_spec("typst"):
        engines.remove("typst")
        _say("typst is not installed (dependency group `benchmarks`) and left out")
    _say(" lines engine   " + "".join(f"{head:>11}" for head in _HEADS))
    with tempfile.TemporaryDirectory(prefix="billing-bench-") as folder:
        small = _made(Path(folder), 10)
        for lines in asked.lines:
            files = small if lines == 10 else _made(Path(folder), lines)
            plain_s = None
            for name in engines:
                if lines >= _NEVER.get(name, lines + 1):
                    continue
                is_once = lines >= _ONCE.get(name, lines + 1)
                row = [small[0], files[0]] if is_once else files
                laps = time_row(name, row, 1 if is_once else _PROCESSES, asked.seconds)
                plain_s = _median_cpu_s(laps) if name == "plain" else plain_s
                _say(report(lines, name, laps, plain_s))


def _made(folder: Path, lines: int) -> list[Path]:
    """Made in a process of its own, whose libraries and memory nothing else sees."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor:
        return executor.submit(make_views, folder, lines).result()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
