"""One invoice view as HTML and as PDF, the same template typeset by WeasyPrint for paper; once issued, as XML, too.

Nothing is fetched: fonts come from a private fontconfig file, the stylesheet is handed over, and a fetcher that knows
no protocol makes every other reference an error. Nothing reads the clock either: the only dates are the view's, so the
same view gives the same bytes. WeasyPrint is imported with the first PDF, because that takes longer than the PDF.
"""

import os
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from billing_pipeline.documents.archiving import Typesetter, embeddable, write_archivable
from billing_pipeline.documents.cii import write_cii
from billing_pipeline.documents.languages import printing_in
from billing_pipeline.documents.texts import TEXTS
from billing_pipeline.documents.view import DocumentFailure, InvoiceView

_TEMPLATES = Path(__file__).parent / "templates"
_FONTCONFIG_FILE = Path(__file__).parent / "fonts" / "fonts.conf"


class TypesettingLibrariesMissing(RuntimeError):
    """WeasyPrint is installed, but the system libraries that it lays text out with are not."""


class RenderedInvoice(NamedTuple):
    """The documents of one payer: what each says is the same."""

    payer_id: str
    html: bytes
    pdf: bytes
    #: The e-invoice; a draft is none.
    xml: bytes | None = None


def render_html(view: InvoiceView) -> str:
    """The invoice as one self-contained page for screen, phone and browser printing."""
    return _render_template(view, _read("invoice.css") + _read("screen.css"))


def render_xml(view: InvoiceView) -> bytes | None:
    """The e-invoice; a draft is none."""
    return write_cii(view.einvoice) if view.einvoice else None


def render_pdf(view: InvoiceView) -> bytes:
    """The invoice as PDF, for archives (PDF/A-3a) and screen readers (PDF/UA-1), with its e-invoice in it (Factur-X).

    An e-invoice of another profile than EN 16931 only travels beside it: Factur-X has no name for that.

    Raises:
        TypesettingLibrariesMissing: a system library of WeasyPrint cannot be loaded.
        weasyprint.urls.FatalURLFetchingError: the document refers to something outside itself.
    """
    return _typeset(view, render_xml(view))


def render_invoice(view: InvoiceView) -> RenderedInvoice | DocumentFailure:
    """The documents of one payer; what is wrong with them concerns that payer alone and is returned.

    Raises:
        TypesettingLibrariesMissing: no PDF can be made on this machine.
    """
    _typesetter()
    from weasyprint.urls import FatalURLFetchingError

    try:
        xml = render_xml(view)
        return RenderedInvoice(view.payer_id, render_html(view).encode(), _typeset(view, xml), xml)
    except (Exception, FatalURLFetchingError) as error:
        return DocumentFailure(view.payer_id, f"{type(error).__name__}: {error}")


def _typeset(view: InvoiceView, xml: bytes | None) -> bytes:
    return write_archivable(_render_template(view, ""), _typesetter(), embeddable(view.einvoice, xml))


def _render_template(view: InvoiceView, stylesheet: str) -> str:
    # The stylesheet is this package's own file; everything else in the context is escaped.
    trusted = Markup(stylesheet)  # noqa: S704
    with printing_in(view.language) as language:
        return _template().render(invoice=view, text=TEXTS, language=language, stylesheet=trusted)


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("invoice.html.jinja")


@cache
def _read(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


@cache
def _typesetter() -> Typesetter:
    with _bundled_fonts():
        try:
            from weasyprint import CSS
        except OSError as error:
            message = (
                f"WeasyPrint cannot load its system libraries ({error}); install them: apt-get install -y "
                "--no-install-recommends libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 fontconfig"
            )
            raise TypesettingLibrariesMissing(message) from error
        from weasyprint.text.fonts import FontConfiguration
        from weasyprint.urls import URLFetcher

        fonts = FontConfiguration()
    fetcher = URLFetcher(allowed_protocols=(), fail_on_errors=True)
    return Typesetter(fonts, CSS(string=_read("invoice.css"), font_config=fonts, url_fetcher=fetcher), fetcher)


@contextmanager
def _bundled_fonts() -> Generator[None, None, None]:
    """Point fontconfig at the bundled fonts while it loads: it has no other way to be told."""
    before = os.environ.get("FONTCONFIG_FILE")
    os.environ["FONTCONFIG_FILE"] = str(_FONTCONFIG_FILE)
    try:
        yield
    finally:
        if before is None:
            del os.environ["FONTCONFIG_FILE"]
        else:
            os.environ["FONTCONFIG_FILE"] = before
