"""Strings as glyphs of the bundled faces: what Pango would make of them, by HarfBuzz alone.

Only what shapes simply is shaped: left to right, one run, letters of the Latin script with what stands between them.
Everything else is said to be unshapeable, and WeasyPrint sets it. Positions are whole units of 1/1024 CSS pixel, as
Pango counts them, so that widths agree to the unit.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise, starmap
from pathlib import Path
from typing import NamedTuple
from unicodedata import normalize

import uharfbuzz as hb

#: Positions per CSS pixel.
UNITS = 1024

_FONTS = Path(__file__).parents[1] / "fonts" / "inter"
_FILES = {
    400: "Inter_400Regular.ttf",
    500: "Inter_500Medium.ttf",
    600: "Inter_600SemiBold.ttf",
    700: "Inter_700Bold.ttf",
}

#: What a form can print: Latin letters of Europe, figures, punctuation and currency signs.
CHARSET = frozenset(
    chr(code)
    for first, last in (
        (0x20, 0x7E), (0xA0, 0xAC), (0xAE, 0x17F), (0x218, 0x21B), (0x1E9E, 0x1E9E), (0x2010, 0x2014),
        (0x2018, 0x201E), (0x2020, 0x2022), (0x2026, 0x2026), (0x202F, 0x202F), (0x2030, 0x2030), (0x2039, 0x203A),
        (0x2070, 0x2070), (0x2074, 0x2079),
        (0x20AC, 0x20AC), (0x2122, 0x2122), (0x2190, 0x2193), (0x2212, 0x2212),
    )
    for code in range(first, last + 1)
)  # fmt: skip

#: Letters of one script; all else in the set is of none.
_LATIN = re.compile("[A-Za-zªºÀ-ÖØ-öø-ɏẞ]")
#: Neighbours that change a glyph: capitals raise punctuation, figures make `x` a sign and raise colons.
_CONTEXTS = ("{}", "H{}H", "0{}0", "n{}n", "{0}{0}")


class Unshapeable(ValueError):
    """A text that only WeasyPrint can set."""


class Typeface(NamedTuple):
    """A face at a size, and how its glyphs are chosen and spaced; everything that shaping a text depends on."""

    weight: int
    #: In CSS pixels.
    size: float
    #: OpenType features by tag, sorted.
    features: tuple[tuple[str, int], ...]
    #: CSS pixels between letters.
    letter_spacing: float
    #: BCP 47.
    language: str


#: A glyph: its number, its advance and shift in units, and the text that it stands for.
Glyph = tuple[int, int, int, str]


def shape(text: str, typeface: Typeface) -> tuple[Glyph, ...]:
    """The glyphs of a line of text.

    Raises:
        Unshapeable: a character lies outside the set.
    """
    _require_known(text)
    return _shape(text, typeface)


def width(text: str, typeface: Typeface) -> float:
    """The width of a line of text in CSS pixels, as WeasyPrint measures it: letters are spaced after the last, too."""
    return sum(advance for _, advance, _, _ in shape(text, typeface)) / UNITS + typeface.letter_spacing


class SetText(NamedTuple):
    """A text in a typeface: its width in CSS pixels, and the operand that draws it."""

    width: float
    operand: bytes


class GlyphTable(dict[str, tuple[int, str, str]]):
    """Texts of one typeface, most of which are a glyph per letter, unmoved: what each such glyph is in an operand.

    It holds as many glyphs as the face has, once for each distance at which pairs are kerned.
    """

    def __init__(self, typeface: Typeface, widths: Mapping[int, int], texts: Mapping[int, str]) -> None:
        """A table without glyphs.

        Args:
            typeface: of all texts.
            widths: the font's own advances.
            texts: what the font says its glyphs stand for; one glyph may stand for several texts, but say only one.
        """
        self._typeface = typeface
        self._widths = widths
        self._texts = texts
        self._size = pango_size(typeface.size)
        self._shaper = _shaper(typeface)

    def set_text(self, text: str) -> SetText:
        """Set a text.

        Raises:
            Unshapeable: a character lies outside the set, or the font has no such glyph or says that it stands for
                another text.
        """
        _require_known(text)
        shaped = self._shaper.shape(text).serialize(self._shaper.font, flags=_SERIALIZED)[1:-1]
        glyphs = shaped.split("|")
        if len(glyphs) != len(text) or self._typeface.letter_spacing or "@" in shaped:
            return SetText(width(text, self._typeface), self._encode(_shape(text, self._typeface)))
        advances, operands, letters = zip(*map(self.__getitem__, glyphs), strict=True)
        if "".join(letters) != text:
            return SetText(width(text, self._typeface), self._encode(_shape(text, self._typeface)))
        operand = "".join(operands)
        if operand.endswith("<"):
            operand = operand[: operand.rindex(">")]
        return SetText(sum(advances) / UNITS, f"[<{operand}>]".encode())

    def __missing__(self, glyph: str) -> tuple[int, str, str]:
        """A glyph, as HarfBuzz writes it: its advance, its operand if glyphs follow, and what it is read as."""
        number, advance = map(int, glyph.split("+"))
        kerning = int(self._widths[number] - advance * 1000 / UNITS / self._size)
        told = f"{number:04x}>{kerning:.4g}<" if kerning else f"{number:04x}"
        self[glyph] = advance, told, self._texts.get(number, "")
        return self[glyph]

    def _encode(self, glyphs: Sequence[Glyph]) -> bytes:
        """The operand of a PDF's `TJ`: glyph numbers, and thousandths of an em where an advance is not the font's."""
        parts, kerning = ["["], 0.0
        is_open = False
        for number, advance, shift, text in glyphs:
            self._require_text(number, text)
            offset = shift / self._size
            moved = kerning - offset
            if moved and is_open:
                parts.append(">")
                is_open = False
            if moved:
                parts.append(f"{moved:.4g}")
            parts.append(f"{number:04x}" if is_open else f"<{number:04x}")
            is_open = True
            kerning = int(self._widths[number] + offset - advance * 1000 / UNITS / self._size)
        return "".join((*parts, ">]")).encode()

    def _require_text(self, number: int, text: str) -> None:
        said = self._texts.get(number, "")
        if said != text and normalize("NFKC", said) != normalize("NFKC", text):
            raise Unshapeable("a glyph would be read as another text")  # noqa: EM101


def pango_size(size: float) -> float:
    """A size in CSS pixels as Pango keeps it, in whole units."""
    return int(size * UNITS) / UNITS


def break_lines(text: str, typeface: Typeface, first: float, others: float) -> list[str]:
    """Lines as narrow as the given widths in CSS pixels, broken where a break is beyond doubt.

    Raises:
        Unshapeable: a word is wider than a line, or ends a line perhaps in its middle.
    """
    lines: list[str] = []
    room = first
    line, *words = _BREAK.split(text)
    for gap, word in zip(words[::2], words[1::2], strict=True):
        if fits(width(f"{line}{gap}{word}", typeface), room):
            line = f"{line}{gap}{word}"
            continue
        if any(width(f"{line}{gap}{part}", typeface) < room + _CLOSE for part in _parts(word)):
            raise Unshapeable("a line may break inside a word")  # noqa: EM101
        lines.append(line)
        line, room = word, others
    lines.append(line)
    if not all(fits(width(line, typeface), others if place else first) for place, line in enumerate(lines)):
        raise Unshapeable("a word is wider than its line")  # noqa: EM101
    return lines


#: Where a line breaks beyond doubt, and what is between its parts: a space, or nothing after a hyphen between letters.
_BREAK = re.compile(r"((?<=.) |(?<=[^\W\d_]-)(?=[^\W\d_]))")
#: Widths this close to the room there is, in CSS pixels, are left to WeasyPrint.
_CLOSE = 0.005


def fits(needed: float, room: float) -> bool:
    """Whether a line has room.

    Raises:
        Unshapeable: it is too close to call.
    """
    if abs(needed - room) < _CLOSE:
        raise Unshapeable("a line is full to the last unit")  # noqa: EM101
    return needed < room


def _parts(word: str) -> Iterator[str]:
    """What of a word might stay on the line above: up to a dash, slash or the like, unless a figure follows."""
    for place in re.finditer(r"[-‐–/?!…}|](?=[^\d])|.(?=—)|—", word):
        if place.end() < len(word):
            yield word[: place.end()]


@cache
def face(weight: int) -> hb.Face:
    """One of the bundled faces, by its weight."""
    return hb.Face(hb.Blob.from_file_path(str(_FONTS / _FILES[weight])))


@cache
def font_file(weight: int) -> bytes:
    """The bytes of a bundled face."""
    return (_FONTS / _FILES[weight]).read_bytes()


@cache
def glyph_widths(weight: int) -> Sequence[int]:
    """The advance of every glyph of a face, in thousandths of an em, as WeasyPrint rounds it if first met at 8.5 pt."""
    size = 8.5 / 0.75
    font, em = _font(weight, size), pango_size(size)
    return [round(font.get_glyph_h_advance(number) * 1000 / UNITS / em) for number in range(face(weight).glyph_count)]


@cache
def known_glyphs(weight: int, features: tuple[tuple[str, int], ...]) -> dict[int, str]:
    """Every glyph that texts of the set are made of, with the text it stands for."""
    typeface = Typeface(weight, 16, features, 0, "en")
    known: dict[int, str] = {}
    for context in _CONTEXTS:
        for character in sorted(CHARSET):
            for number, _, _, text in _shape(context.format(character), typeface):
                known.setdefault(number, text)
    return known


@cache
def _font(weight: int, size: float) -> hb.Font:
    font = hb.Font(face(weight))
    scale = int(size * UNITS)
    font.scale = scale, scale
    return font


def _require_known(text: str) -> None:
    if not CHARSET.issuperset(text):
        strange = next(character for character in text if character not in CHARSET)
        raise Unshapeable(f"U+{ord(strange):04X} is outside the set")  # noqa: EM102


#: Each glyph as number, shift if any, and advance.
_SERIALIZED = hb.BufferSerializeFlags.NO_GLYPH_NAMES | hb.BufferSerializeFlags.NO_CLUSTERS


class _Shaper:
    """HarfBuzz for one typeface. It shapes in one buffer: making one for each text takes half as long as shaping."""

    def __init__(self, typeface: Typeface) -> None:
        self.font = _font(typeface.weight, typeface.size)
        self._language = typeface.language
        self._features: dict[str, bool | int] = dict(typeface.features)
        if typeface.letter_spacing:
            self._features |= {"liga": 0, "clig": 0, "dlig": 0}
        self._buffer = hb.Buffer()

    def shape(self, text: str) -> hb.Buffer:
        """The glyphs of a text, until the next is shaped."""
        buffer = self._buffer
        buffer.clear_contents()
        buffer.add_str(text)
        buffer.direction = "ltr"
        buffer.script = "Latn" if _LATIN.search(text) else "Zyyy"
        buffer.language = self._language
        hb.shape(self.font, buffer, self._features)
        return buffer


@cache
def _shaper(typeface: Typeface) -> _Shaper:
    return _Shaper(typeface)


def _shape(text: str, typeface: Typeface) -> tuple[Glyph, ...]:
    if not text:
        return ()
    buffer = _shaper(typeface).shape(text)
    positions = buffer.glyph_positions
    numbers, clusters = zip(*((info.codepoint, info.cluster) for info in buffer.glyph_infos), strict=True)
    texts = text if len(numbers) == len(text) else starmap(text.__getitem__, _slices(clusters, len(text)))
    if any(position.y_offset for position in positions):
        raise Unshapeable("a glyph is raised")  # noqa: EM101
    advances = [position.x_advance for position in positions]
    shifts = [position.x_offset for position in positions]
    spacing = int(typeface.letter_spacing * UNITS)
    if spacing:
        _space_letters(advances, shifts, spacing)
    return tuple(zip(numbers, advances, shifts, texts, strict=True))


def _slices(clusters: Sequence[int], end: int) -> Iterator[tuple[slice]]:
    return ((slice(start, stop),) for start, stop in pairwise((*clusters, end)))


def _space_letters(advances: list[int], shifts: list[int], spacing: int) -> None:
    """Pango halves the space between two glyphs; before the first and after the last there is none."""
    left = spacing // 2 if spacing >= 0 else -(-spacing // 2)
    for place in range(1, len(advances)):
        advances[place - 1] += spacing - left
        advances[place] += left
        shifts[place] += left
