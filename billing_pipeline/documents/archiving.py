"""PDFs that archives keep, screen readers read aloud and bookkeeping programs take in: PDF/A-3a, PDF/UA-1, Factur-X.

WeasyPrint writes PDF/A-3a, whose tags PDF/UA-1 asks for as well. What it cannot say is put right in its finished
objects before they are written, here and nowhere else:

- the metadata of PDF/UA and Factur-X stand in the one `rdf:RDF` of the file, with the schemas that describe them;
  what WeasyPrint itself would append as a second one, validators do not read;
- the metadata is not compressed, so that programs that know nothing of PDF find it;
- the catalogue names an associated file once; WeasyPrint names it twice;
- streams that end in a carriage return are ended by another one and a line feed: a line feed alone would make one line
  end with it, so that the stream would look a byte shorter than it says.

No character may be shown that has no glyph or means nothing to others (private use): a document that has one is set
again with `□` instead. The only date is the day of issue, so the same document gives the same bytes.
"""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import pydyf

from billing_pipeline.documents.cii import EN_16931, profile_of
from billing_pipeline.documents.einvoice import EInvoice

if TYPE_CHECKING:
    from weasyprint import CSS, Attachment, Document
    from weasyprint.text.fonts import FontConfiguration
    from weasyprint.urls import URLFetcher

#: The name that Factur-X gives the e-invoice of the profile EN 16931, and nothing else.
FACTUR_X_NAME = "factur-x.xml"
FACTUR_X_DESCRIPTION = "Factur-X"

#: The e-invoice says all that the paper says. In Germany such a file must be `Alternative`; in France it may be.
FACTUR_X_RELATIONSHIP = "Alternative"

_STREAM_END = b"\nendstream"
_ENDS_TOGETHER = re.compile(rb"(?<!\r)\r\nendstream")

#: Shown for what cannot be shown: every bundled face has it.
_SUBSTITUTE = "□"
#: Private use, byte order marks and what Unicode will never assign.
_MEANINGLESS = re.compile("[\ue000-\uf8ff\ufdd0-\ufdef\ufeff\ufffe\uffff\U000f0000-\U0010ffff]")

_FACTUR_X_NAMESPACE = "urn:factur-x:pdfa:CrossIndustryDocument:invoice:1p0#"
#: Credit notes and prepayments are `INVOICE`, too; the version is that of the metadata, not of the rule books.
_FACTUR_X = {
    "DocumentType": ("INVOICE", "What kind of document the embedded file is"),
    "DocumentFileName": (FACTUR_X_NAME, "Name of the embedded file"),
    "Version": ("1.0", "Version of the Factur-X metadata"),
    "ConformanceLevel": ("EN 16931", "Profile of the embedded file"),
}

_PDF_UA_SCHEMA = ("PDF/UA identification schema", "http://www.aiim.org/pdfua/ns/id/", "pdfuaid")
_FACTUR_X_SCHEMA = ("Factur-X extension schema", _FACTUR_X_NAMESPACE, "fx")

_DESCRIPTION = '<rdf:Description rdf:about="" {namespaces}>{properties}</rdf:Description>'
_EXTENSION_NAMESPACES = (
    'xmlns:pdfaExtension="http://www.aiim.org/pdfa/ns/extension/" '
    'xmlns:pdfaSchema="http://www.aiim.org/pdfa/ns/schema#" '
    'xmlns:pdfaProperty="http://www.aiim.org/pdfa/ns/property#"'
)
_SCHEMA = (
    '<rdf:li rdf:parseType="Resource"><pdfaSchema:schema>{name}</pdfaSchema:schema>'
    "<pdfaSchema:namespaceURI>{namespace}</pdfaSchema:namespaceURI><pdfaSchema:prefix>{prefix}</pdfaSchema:prefix>"
    "<pdfaSchema:property><rdf:Seq>{properties}</rdf:Seq></pdfaSchema:property></rdf:li>"
)
_PROPERTY = (
    '<rdf:li rdf:parseType="Resource"><pdfaProperty:name>{name}</pdfaProperty:name>'
    "<pdfaProperty:valueType>{kind}</pdfaProperty:valueType><pdfaProperty:category>{category}</pdfaProperty:category>"
    "<pdfaProperty:description>{description}</pdfaProperty:description></rdf:li>"
)


class EmbeddedInvoice(NamedTuple):
    """The e-invoice that a PDF carries; its profile is EN 16931."""

    xml: bytes
    issued_on: date


def embeddable(invoice: EInvoice | None, xml: bytes | None) -> EmbeddedInvoice | None:
    """An e-invoice as a PDF may carry it; a draft is none, and Factur-X has no name for EXTENDED-CTC-FR."""
    if not invoice or not xml or profile_of(invoice) != EN_16931:
        return None
    return EmbeddedInvoice(xml, invoice.issued_on)


class Typesetter(NamedTuple):
    """What lays pages out: loading fonts and reading the stylesheet costs as much as a short invoice."""

    fonts: "FontConfiguration"
    stylesheet: "CSS"
    fetcher: "URLFetcher"


def write_archivable(page: str, typesetter: Typesetter, invoice: EmbeddedInvoice | None) -> bytes:
    """A page of HTML as PDF/A-3a and PDF/UA-1; with an e-invoice in it, as Factur-X.

    Args:
        page: says its language and title, what its pictures show, and whose heads the cells of its tables are.
        typesetter: lays it out.
        invoice: embedded as it is, to the byte; null for what is no Factur-X.

    Raises:
        weasyprint.urls.FatalURLFetchingError: the page refers to something outside itself.
    """
    pdf, unfit = _write(page, typesetter, invoice)
    while replaced := {ord(character) for character in unfit if _is_replaceable(character, page)}:
        page = page.translate(dict.fromkeys(replaced, _SUBSTITUTE))
        pdf, unfit = _write(page, typesetter, invoice)
    return pdf


def _is_replaceable(character: str, page: str) -> bool:
    """Not what the stylesheet made of a character, and nothing that markup consists of."""
    is_markup = character.isascii() and character.isprintable()
    return character in page and character != _SUBSTITUTE and not is_markup


def _write(
    page: str, typesetter: Typesetter, invoice: EmbeddedInvoice | None, spare: int = 0
) -> tuple[bytes, set[str]]:
    """The PDF, and what it shows although archives refuse that; `spare` is the length of a text that nothing shows."""
    from weasyprint import HTML

    statements = describe_conformance(is_factur_x=invoice is not None)
    unfit = set()

    def finish(document: "Document", pdf: pydyf.PDF) -> None:
        unfit.update(_unfit_characters(document))
        _complete_metadata(pdf, statements)
        _name_associated_files_once(pdf)
        _end_streams_apart(pdf)
        if spare:
            pdf.add_object(pydyf.String("." * spare))

    pdf = HTML(string=page, url_fetcher=typesetter.fetcher).write_pdf(
        stylesheets=[typesetter.stylesheet],
        font_config=typesetter.fonts,
        finisher=finish,
        pdf_variant="pdf/a-3a",
        attachments=[_attach(invoice, typesetter)] if invoice else [],
    )
    if _ENDS_TOGETHER.search(pdf):
        # One of those that pydyf itself adds while it writes; it ends otherwise over other objects.
        return _write(page, typesetter, invoice, spare + 1)
    return pdf, unfit


def _attach(invoice: EmbeddedInvoice, typesetter: Typesetter) -> "Attachment":
    from weasyprint import Attachment

    issued_at = datetime.combine(invoice.issued_on, time(), UTC)
    return Attachment(
        string=invoice.xml,
        url_fetcher=typesetter.fetcher,
        name=FACTUR_X_NAME,
        description=FACTUR_X_DESCRIPTION,
        relationship=FACTUR_X_RELATIONSHIP,
        created=issued_at,
        modified=issued_at,
    )


def _unfit_characters(document: "Document") -> Iterator[str]:
    """Characters of a laid out document that no font has, or whose meaning is nobody's but their author's."""
    for font in document.fonts.values():
        yield from map(chr, font.missing)
        for text in font.to_unicode.values():
            yield from _MEANINGLESS.findall(text)


@cache
def describe_conformance(*, is_factur_x: bool) -> bytes:
    """What the metadata must say beside PDF/A, as descriptions within an `rdf:RDF`; PDF/A wants every schema told."""
    schemas = [_schema(_PDF_UA_SCHEMA, _property("part", "Integer", "internal", "Part of ISO 14289"))]
    described = [_description('xmlns:pdfuaid="http://www.aiim.org/pdfua/ns/id/"', "<pdfuaid:part>1</pdfuaid:part>")]
    if is_factur_x:
        schemas.append(
            _schema(
                _FACTUR_X_SCHEMA,
                "".join(_property(name, "Text", "external", meaning) for name, (_, meaning) in _FACTUR_X.items()),
            )
        )
        said = "".join(f"<fx:{name}>{value}</fx:{name}>" for name, (value, _) in _FACTUR_X.items())
        described.append(_description(f'xmlns:fx="{_FACTUR_X_NAMESPACE}"', said))
    bag = f"<pdfaExtension:schemas><rdf:Bag>{''.join(schemas)}</rdf:Bag></pdfaExtension:schemas>"
    return "".join([_description(_EXTENSION_NAMESPACES, bag), *described]).encode()


def _complete_metadata(pdf: pydyf.PDF, statements: bytes) -> None:
    """Say more in the metadata that WeasyPrint made, and leave it legible."""
    metadata = pdf.objects[int(pdf.catalog["Metadata"].split()[0])]
    (packet,) = metadata.stream
    said, end, rest = packet.rpartition(b"</rdf:RDF>")
    metadata.stream = [said + statements + end + rest]
    metadata.compress = False


def _name_associated_files_once(pdf: pydyf.PDF) -> None:
    if "AF" in pdf.catalog:
        pdf.catalog["AF"][:] = dict.fromkeys(pdf.catalog["AF"])


class _Written(pydyf.Stream):
    """A stream as it is written; pydyf would put it together twice, once for the identifier of the file."""

    written: bytes

    @property
    def data(self) -> bytes:
        return self.written


def _end_streams_apart(pdf: pydyf.PDF) -> None:
    for stream in (thing for thing in pdf.objects if isinstance(thing, pydyf.Stream)):
        written = stream.data
        if written.endswith(b"\r" + _STREAM_END):
            written = written.removesuffix(_STREAM_END) + b"\r" + _STREAM_END
        stream.__class__ = _Written
        stream.written = written


def _description(namespaces: str, properties: str) -> str:
    return _DESCRIPTION.format(namespaces=namespaces, properties=properties)


def _schema(schema: tuple[str, str, str], properties: str) -> str:
    name, namespace, prefix = schema
    return _SCHEMA.format(name=name, namespace=namespace, prefix=prefix, properties=properties)


def _property(name: str, kind: str, category: str, description: str) -> str:
    return _PROPERTY.format(name=name, kind=kind, category=category, description=description)
