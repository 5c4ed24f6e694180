"""Invoice views as HTML, as PDF and, once issued, as XML.

A PDF is stamped: WeasyPrint laid its parts out before, for any document. What does not fit into them, WeasyPrint lays
out whole. Both print the same template, so that readers cannot tell them apart. Nothing reads the clock: the only dates
are the view's, so the same view gives the same bytes, whatever was rendered before it.
"""

import gc
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from markupsafe import Markup

from billing_pipeline.documents.archiving import embeddable, write_archivable
from billing_pipeline.documents.cii import write_cii
from billing_pipeline.documents.garbage import without_collection
from billing_pipeline.documents.languages import printing_in
from billing_pipeline.documents.texts import TEXTS
from billing_pipeline.documents.typesetting import load_template, load_typesetter, read_stylesheet
from billing_pipeline.documents.view import DocumentFailure, InvoiceView

if TYPE_CHECKING:
    from billing_pipeline.documents.stamping.press import Press
    from billing_pipeline.documents.stamping.skeleton import Skeleton


class RenderedInvoice(NamedTuple):
    """The documents of one payer: what each says is the same."""

    payer_id: str
    html: bytes
    pdf: bytes
    #: The e-invoice; a draft is none.
    xml: bytes | None = None
    #: Why the PDF could not be stamped; empty where it was.
    misfit: str = ""


Outcome = RenderedInvoice | DocumentFailure


def render_html(view: InvoiceView) -> str:
    """The invoice as one self-contained page for screen, phone and browser printing."""
    return _render_template(view, read_stylesheet("invoice.css") + read_stylesheet("screen.css"))


def render_xml(view: InvoiceView) -> bytes | None:
    """The e-invoice; a draft is none."""
    return write_cii(view.einvoice) if view.einvoice else None


@without_collection()
def render_pdf(view: InvoiceView) -> bytes:
    """The invoice as PDF, for archives (PDF/A-3a) and screen readers (PDF/UA-1), with its e-invoice in it (Factur-X).

    An e-invoice of another profile than EN 16931 only travels beside it: Factur-X has no name for that.

    Raises:
        TypesettingLibrariesMissing: a system library of WeasyPrint cannot be loaded.
        weasyprint.urls.FatalURLFetchingError: the document refers to something outside itself.
    """
    load_typesetter()
    pdf, _ = _print(view, _take_apart(view), render_xml(view))
    return pdf


def lay_out_pdf(view: InvoiceView) -> bytes:
    """The same PDF laid out by WeasyPrint alone, which takes any text.

    Raises:
        TypesettingLibrariesMissing: a system library of WeasyPrint cannot be loaded.
        weasyprint.urls.FatalURLFetchingError: the document refers to something outside itself.
    """
    return _lay_out(view, render_xml(view))


def render_invoice(view: InvoiceView) -> Outcome:
    """The documents of one payer; what is wrong with them concerns that payer alone and is returned.

    Raises:
        TypesettingLibrariesMissing: no PDF can be made on this machine.
    """
    (outcome,) = render_invoices([view])
    return outcome


@without_collection()
def render_invoices(views: Sequence[InvoiceView | DocumentFailure]) -> list[Outcome]:
    """The documents of some payers, in their order; what is new about them is laid out together, which is faster.

    Raises:
        TypesettingLibrariesMissing: no PDF can be made on this machine.
    """
    load_typesetter()
    skeletons = [view if isinstance(view, DocumentFailure) else _try_to_take_apart(view) for view in views]
    _press().prepare(skeleton for skeleton in skeletons if not isinstance(skeleton, DocumentFailure))
    return [
        skeleton if isinstance(skeleton, DocumentFailure) else _render(view, skeleton)
        for view, skeleton in zip(views, skeletons, strict=True)
    ]


def _render(view: InvoiceView, skeleton: "Skeleton") -> Outcome:
    from weasyprint.urls import FatalURLFetchingError

    try:
        xml = render_xml(view)
        pdf, misfit = _print(view, skeleton, xml)
        return RenderedInvoice(view.payer_id, render_html(view).encode(), pdf, xml, misfit)
    except (Exception, FatalURLFetchingError) as error:
        return _failure(view, error)


def _print(view: InvoiceView, skeleton: "Skeleton", xml: bytes | None) -> tuple[bytes, str]:
    """The PDF, and why it could not be stamped."""
    stamped = _press().stamp(skeleton, embeddable(view.einvoice, xml))
    if isinstance(stamped, bytes):
        return stamped, ""
    laid_out = _lay_out(view, xml)
    gc.collect()
    return laid_out, stamped.reason


def _lay_out(view: InvoiceView, xml: bytes | None) -> bytes:
    return write_archivable(_render_template(view, ""), load_typesetter(), embeddable(view.einvoice, xml))


def _render_template(view: InvoiceView, stylesheet: str) -> str:
    # The stylesheet is this package's own file; everything else in the context is escaped.
    trusted = Markup(stylesheet)  # noqa: S704
    with printing_in(view.language) as language:
        return load_template().render(invoice=view, text=TEXTS, language=language, stylesheet=trusted)


def _try_to_take_apart(view: InvoiceView) -> "Skeleton | DocumentFailure":
    try:
        return _take_apart(view)
    except Exception as error:
        return _failure(view, error)


def _take_apart(view: InvoiceView) -> "Skeleton":
    from billing_pipeline.documents.stamping.skeleton import take_apart

    return take_apart(view)


@cache
def _press() -> "Press":
    """The press of this process; it is imported with WeasyPrint."""
    from billing_pipeline.documents.stamping.press import Press

    return Press()


def _failure(view: InvoiceView, error: BaseException) -> DocumentFailure:
    return DocumentFailure(view.payer_id, f"{type(error).__name__}: {error}")
