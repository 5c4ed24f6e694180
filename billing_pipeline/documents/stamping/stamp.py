"""A document out of strips: pages drawn, tagged and put into one file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import md5
from html import escape

from billing_pipeline.documents.archiving import (
    FACTUR_X_DESCRIPTION,
    FACTUR_X_NAME,
    FACTUR_X_RELATIONSHIP,
    EmbeddedInvoice,
    describe_conformance,
)
from billing_pipeline.documents.stamping.container import Pack, compress, pack, text_string, write_file, write_number
from billing_pipeline.documents.stamping.drawing import draw
from billing_pipeline.documents.stamping.filling import Filled, Setter, fill, say
from billing_pipeline.documents.stamping.flow import Laid, Placed, spread
from billing_pipeline.documents.stamping.strips import Base, Frame, Frames
from billing_pipeline.documents.stamping.structure import Bookmark, StructureTree, write_outline

#: Points per CSS pixel.
_SCALE = 0.75


@dataclass(frozen=True, slots=True)
class Document:
    """What a document is made of."""

    language: str
    #: What the file says of itself: `Title`, `Author` and, where it is issued, `CreationDate` and `ModDate`.
    metadata: Mapping[str, str]
    #: In it, as it is.
    invoice: EmbeddedInvoice | None
    frames: Frames
    frame_values: Sequence[Sequence[str]]
    strips: Sequence[Laid]


@dataclass(frozen=True, slots=True)
class Stock:
    """What all documents share, ready to be used."""

    base: Base
    #: Its objects, as they stand in a file.
    packs: Sequence[Pack]
    setter: Setter


def stamp(document: Document, stock: Stock) -> bytes:
    """Write a document.

    Args:
        document: its strips and values.
        stock: what all documents share.

    Raises:
        Unshapeable: a value does not fit.
    """
    pages = spread(document.strips, document.frames)
    return _Writer(document, stock).write(pages)


class _Writer:
    """Objects of one document."""

    def __init__(self, document: Document, stock: Stock) -> None:
        self._document = document
        self._stock = stock
        self._base = stock.base
        self._streams = dict(stock.base.streams)
        self._objects: dict[int, bytes] = {}
        self._free = stock.base.free

    def write(self, pages: Sequence[Sequence[Placed]]) -> bytes:
        base, document = self._base, self._document
        page_list = self._allocate()
        tree = StructureTree(self._allocate, self._objects, base.page_height)
        numbers, bookmarks = [], []
        for place, strips in enumerate(pages):
            page, content = self._allocate(), self._allocate()
            numbers.append(page)
            frame = document.frames.other if place else document.frames.first
            tree.start_page(page)
            around = fill(frame, document.frame_values, self._stock.setter, place + 1, len(pages))
            self._streams[content] = compress(self._draw(frame, around, strips, tree))
            self._objects[page] = b"<<%s/Parent %d 0 R/Contents %d 0 R/StructParents %d>>" % (
                base.page_entries, page_list, content, place,
            )  # fmt: skip
            bookmarks += [bookmark for placed in strips for bookmark in self._bookmarks(placed, page)]
        self._objects[page_list] = b"<</Type /Pages/Kids [%s]/Count %d>>" % (
            b" ".join(b"%d 0 R" % page for page in numbers), len(numbers),
        )  # fmt: skip
        entries = [
            base.catalogue_entries,
            b"/Lang %s/Pages %d 0 R" % (text_string(document.language), page_list),
            b"/StructTreeRoot %d 0 R" % tree.finish(),
            b"/Outlines %d 0 R" % write_outline(bookmarks, self._allocate, self._objects),
            b"/Metadata %d 0 R" % self._write_metadata(),
            self._attach(document.invoice) if document.invoice else b"",
        ]
        catalogue = self._add(b"<<%s>>" % b"".join(entries))
        information = self._add(_information(self._said()))
        packs = (*self._stock.packs, *pack(self._objects))
        return write_file(self._streams, packs, self._free, catalogue, information)

    def _draw(self, frame: Frame, around: Filled, strips: Sequence[Placed], tree: StructureTree) -> bytes:
        drawn = [
            b"1 0 0 -1 0 %s cm %s 0 0 %s 0 0 cm"
            % (write_number(self._base.page_height), write_number(_SCALE), write_number(_SCALE)),
            draw(frame, around, 0),
        ]
        for laid, top in strips:
            shift = top - laid.strip.top
            drawn.append(b"q 1 0 0 1 0 %s cm" % write_number(shift))
            drawn.append(draw(laid.strip, laid.filled, tree.add(laid, shift)))
            drawn.append(b"Q")
        return b"\n".join(drawn)

    def _bookmarks(self, placed: Placed, page: int) -> list[Bookmark]:
        laid, top = placed
        return [
            Bookmark(
                heading.level,
                say(heading.text, laid.filled.values),
                page,
                self._base.page_height - _SCALE * (heading.top - laid.strip.top + top),
            )
            for heading in laid.strip.headings
        ]

    def _allocate(self) -> int:
        number, self._free = self._free, self._free + 1
        return number

    def _add(self, thing: bytes) -> int:
        number = self._allocate()
        self._objects[number] = thing
        return number

    def _said(self) -> dict[str, str]:
        return {"Producer": "billing_pipeline", **self._document.metadata}

    def _write_metadata(self) -> int:
        """The same as the document's information, for those who read no PDF; not compressed."""
        said = "".join(
            f'<rdf:Description rdf:about="" {_SAID[name].format(escape(text))}</rdf:Description>'
            for name, text in self._said().items()
        )
        statements = describe_conformance(is_factur_x=self._document.invoice is not None)
        packet = _PACKET.format(said=said, statements=statements.decode()).encode()
        number = self._allocate()
        self._streams[number] = b"<</Type /Metadata/Subtype /XML/Length %d>>\nstream\n%s\nendstream" % (
            len(packet), packet,
        )  # fmt: skip
        return number

    def _attach(self, invoice: EmbeddedInvoice) -> bytes:
        """Write the e-invoice and what names it; what the catalogue says of it."""
        day = f"D:{invoice.issued_on:%Y%m%d}000000Z"
        checksum = md5(invoice.xml, usedforsecurity=False).hexdigest()
        entries = (
            f"/Type /EmbeddedFile/Subtype /text#2fxml/Params <</CheckSum <{checksum}>/Size {len(invoice.xml)}"
            f"/CreationDate ({day})/ModDate ({day})>>"
        ).encode()
        stream = self._allocate()
        self._streams[stream] = compress(invoice.xml, entries)
        name, description = text_string(FACTUR_X_NAME), text_string(FACTUR_X_DESCRIPTION)
        file = self._add(
            b"<</Type /Filespec/F %s/UF %s/EF <</F %d 0 R/UF %d 0 R>>/Desc %s/AFRelationship /%s>>"
            % (name, name, stream, stream, description, FACTUR_X_RELATIONSHIP.encode())
        )
        return b"/AF [%d 0 R]/Names <</EmbeddedFiles <</Names [%s %d 0 R]>>>>" % (file, name, file)


def _information(said: Mapping[str, str]) -> bytes:
    dates = {name: f"D:{text.replace('-', '')}" for name, text in said.items() if name.endswith("Date")}
    return b"<<%s>>" % b"".join(
        b"/%s %s" % (name.encode(), text_string(text)) for name, text in {**said, **dates}.items()
    )


_PACKET = """<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\
<rdf:Description rdf:about="" xmlns:pdfaid="http://www.aiim.org/pdfa/ns/id/" pdfaid:part="3" \
pdfaid:conformance="A"/>{said}{statements}</rdf:RDF></x:xmpmeta>
<?xpacket end="r"?>"""
_SAID = {
    "Producer": 'xmlns:pdf="http://ns.adobe.com/pdf/1.3/"><pdf:Producer>{}</pdf:Producer>',
    "Title": (
        'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title><rdf:Alt><rdf:li xml:lang="x-default">{}</rdf:li>'
        "</rdf:Alt></dc:title>"
    ),
    "Author": (
        'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:creator><rdf:Seq><rdf:li>{}</rdf:li></rdf:Seq></dc:creator>'
    ),
    "CreationDate": 'xmlns:xmp="http://ns.adobe.com/xap/1.0/"><xmp:CreateDate>{}</xmp:CreateDate>',
    "ModDate": 'xmlns:xmp="http://ns.adobe.com/xap/1.0/"><xmp:ModifyDate>{}</xmp:ModifyDate>',
}
