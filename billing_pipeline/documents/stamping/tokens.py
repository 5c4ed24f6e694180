"""Made-up values: they stand in a layout for values that are not known yet, and are found again in what is drawn."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from billing_pipeline.documents.stamping.skeleton import HOLE, PICTURE
from billing_pipeline.documents.stamping.strips import Hole, Template

#: Letters that no word has three of in a row; they stand for figures, and survive upper case.
_DIGITS = "ðþŋħŧđłøæœ"
#: A made-up value.
TOKEN = re.compile(f"[{_DIGITS}{_DIGITS.upper()}]{{3}}")
_TOKENS_MAX = len(_DIGITS) ** 3


class Unstampable(ValueError):
    """A kind of strip or page that cannot be taken down."""


@dataclass
class Tokens:
    """Which hole each made-up value of a page stands for."""

    holes: list[Hole] = field(default_factory=list)
    #: Of values that are printed, those that no box was found to say yet.
    unread: set[int] = field(default_factory=set)

    def fill(self, html: str, lines: Sequence[int]) -> str:
        """A skeleton with made-up values, each on as many lines as is said."""
        number = -1

        def fill(found: re.Match[str]) -> str:
            nonlocal number
            number += 1
            if found[0] == PICTURE:
                return f"<title>{self._add(Hole(number))}</title>"
            is_printed = html.rfind("<", 0, found.start()) <= html.rfind(">", 0, found.start())
            told = [self._add(Hole(number, line)) for line in range(lines[number])]
            if not is_printed:
                self.unread.difference_update(range(len(self.holes) - len(told), len(self.holes)))
            return "<br>".join(told)

        return re.sub(f"[{HOLE}{PICTURE}]", fill, html)

    def read(self, text: str) -> Template:
        """What a text of the layout says, made-up values being holes again."""
        parts: list[str | Hole] = []
        end = 0
        for found in TOKEN.finditer(text):
            if found.start() > end:
                parts.append(text[end : found.start()])
            number = int("".join(str(_DIGITS.index(letter)) for letter in found[0].lower()))
            parts.append(self.holes[number])
            self.unread.discard(number)
            end = found.end()
        return (*parts, *([text[end:]] if text[end:] else []))

    def require_read(self) -> None:
        """Refuse a strip that has room for less than a made-up value."""
        if self.unread:
            message = f"{len(self.unread)} values of a strip were not found in its boxes"
            raise Unstampable(message)

    def _add(self, hole: Hole) -> str:
        if len(self.holes) == _TOKENS_MAX:
            message = f"more than {_TOKENS_MAX} values in a strip"
            raise Unstampable(message)
        self.unread.add(len(self.holes))
        self.holes.append(hole)
        return "".join(_DIGITS[int(digit)] for digit in f"{len(self.holes) - 1:03d}")
