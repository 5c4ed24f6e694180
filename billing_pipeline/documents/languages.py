"""In which language a document is being printed, and its catalogue of translations.

Texts and figures are asked for while a document is printed, within `printing_in`; outside it they are English. English
texts stand in `texts`; every other language is a gettext catalogue, `locale/<language>.po`, read as it is: nothing is
compiled. A message is found by its context, which is its key in `texts`, and by its English text, so that a translation
does not outlive what it translates.
"""

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path

from babel import Locale
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po

from billing_pipeline.rules.languages import FALLBACK, choose_language

CATALOGUES = Path(__file__).parent / "locale"

#: Whose separators, symbols, months and countries are printed, by language.
_LOCALES = {"en": Locale("en", "GB"), "fr": Locale("fr", "FR")}

_PRINTED: ContextVar[str] = ContextVar("printed_language", default=FALLBACK)


class Untranslated(LookupError):
    """A catalogue lacks a message, or translates an older English text."""


class Messages(Mapping[str, str]):
    """English texts by key; looked up, they are in the language that is being printed."""

    def __init__(self, english: Mapping[str, str], kind: str = "") -> None:
        """Texts of a kind, whose name stands before the key in catalogues."""
        self._english = english
        self._kind = kind

    def __getitem__(self, key: str) -> str:
        english, language = self._english[key], _PRINTED.get()
        return english if language == FALLBACK else _translate(language, self._context(key), english)

    def __iter__(self) -> Iterator[str]:
        return iter(self._english)

    def __len__(self) -> int:
        return len(self._english)

    def in_catalogue(self) -> dict[str, str]:
        """English texts by context."""
        return {self._context(key): text for key, text in self._english.items()}

    def _context(self, key: str) -> str:
        return f"{self._kind} {key}".lstrip()


@contextmanager
def printing_in(wanted: str | None) -> Generator[str, None, None]:
    """Print in the language that an organisation wants, or in English where that one is not printed."""
    before = _PRINTED.set(choose_language(wanted))
    try:
        yield _PRINTED.get()
    finally:
        _PRINTED.reset(before)


def printed_language() -> str:
    """The language that is being printed, as a BCP 47 tag."""
    return _PRINTED.get()


def printed_locale() -> Locale:
    """The locale of the language that is being printed."""
    return _LOCALES[_PRINTED.get()]


@cache
def read_catalogue(language: str) -> Catalog:
    """The translations into a language other than English."""
    with (CATALOGUES / f"{language}.po").open("rb") as file:
        return read_po(file, locale=language, abort_invalid=True)


def _translate(language: str, context: str, english: str) -> str:
    try:
        return _translations(language)[context, english]
    except KeyError:
        message = f"{language}.po has no translation of {context!r}: {english!r}"
        raise Untranslated(message) from None


@cache
def _translations(language: str) -> Mapping[tuple[str, str], str]:
    """Texts by context and English text."""
    return {(str(message.context), str(message.id)): str(message.string) for message in read_catalogue(language)}
