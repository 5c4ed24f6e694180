"""A press: the strips of one process, and documents stamped from them."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from billing_pipeline.documents.archiving import EmbeddedInvoice
from billing_pipeline.documents.stamping.container import pack
from billing_pipeline.documents.stamping.filling import Overfull, break_values, fill, make_setter, require_plain_spaces
from billing_pipeline.documents.stamping.flow import Laid
from billing_pipeline.documents.stamping.shaping import Unshapeable
from billing_pipeline.documents.stamping.skeleton import FrameKind, Skeleton, TornStrip
from billing_pipeline.documents.stamping.stamp import Document, Stock, stamp
from billing_pipeline.documents.stamping.strips import Frames, Strip
from billing_pipeline.documents.stamping.tokens import Unstampable
from billing_pipeline.documents.stamping.weasyprint_boxes import (
    LaidOut,
    lay_out,
    lay_out_base,
    lay_out_frames,
)


class Misfit(NamedTuple):
    """Why a document cannot be stamped; WeasyPrint sets it."""

    reason: str


@dataclass
class Press:
    """Lays out each kind of strip that it meets once, and stamps what follows.

    Nothing in a strip depends on what was stamped before, so that a document is the same whatever came before it. Not
    for threads: laying out replaces functions of WeasyPrint for as long as it takes.
    """

    strips: dict[LaidOut, Strip | Unstampable] = field(default_factory=dict)
    frames: dict[FrameKind, Frames] = field(default_factory=dict)
    _shared: Stock | None = None

    def prepare(self, skeletons: Iterable[Skeleton]) -> None:
        """Lay out all that documents need, which is faster than for one document after another."""
        torn = [strip for skeleton in skeletons for strip in skeleton.strips]
        self._lay_out(map(_unbroken, torn))
        broken = []
        for strip in torn:
            with suppress(Unshapeable, Unstampable):
                broken.append(self._break(strip)[0])
        self._lay_out(broken)

    def stamp(self, skeleton: Skeleton, invoice: EmbeddedInvoice | None = None) -> bytes | Misfit:
        """A document as PDF, or why it has to be set by WeasyPrint.

        Args:
            skeleton: the document.
            invoice: the e-invoice in it, as it is, to the byte.
        """
        try:
            unbroken = list(map(_unbroken, skeleton.strips))
            self._lay_out(unbroken)
            frames, stock = self._frames(skeleton.frame), self._stock()
            document = Document(
                skeleton.frame.language,
                skeleton.metadata,
                invoice,
                frames,
                [[value] for value in skeleton.frame_values],
                list(map(self._laid, skeleton.strips, unbroken)),
            )
            return stamp(document, stock)
        except (Unshapeable, Unstampable) as error:
            return Misfit(str(error))

    def _laid(self, torn: TornStrip, unbroken: LaidOut) -> Laid:
        require_plain_spaces(torn.values)
        strip = self._strip(unbroken)
        setter = self._stock().setter
        try:
            filled = fill(strip, [(value,) for value in torn.values], setter)
        except Overfull:
            broken, values = self._break(torn)
            self._lay_out([broken])
            strip = self._strip(broken)
            filled = fill(strip, values, setter)
        return Laid(strip, torn.path, torn.starts_page, filled)

    def _break(self, torn: TornStrip) -> tuple[LaidOut, list[list[str]]]:
        values = break_values(self._strip(_unbroken(torn)).lines, torn.values, self._stock().setter)
        return LaidOut(torn.kind, tuple(map(len, values))), values

    def _strip(self, one: LaidOut) -> Strip:
        strip = self.strips[one]
        if isinstance(strip, Unstampable):
            raise strip
        return strip

    def _lay_out(self, wanted: Iterable[LaidOut]) -> None:
        if missing := [one for one in dict.fromkeys(wanted) if one not in self.strips]:
            self.strips |= lay_out(missing)

    def _frames(self, kind: FrameKind) -> Frames:
        if kind not in self.frames:
            self.frames[kind] = lay_out_frames(kind)
        return self.frames[kind]

    def _stock(self) -> Stock:
        if self._shared is None:
            base = lay_out_base()
            self._shared = Stock(base, pack(base.objects), make_setter(base.fonts))
        return self._shared


def _unbroken(torn: TornStrip) -> LaidOut:
    return LaidOut(torn.kind, (1,) * len(torn.values))
