"""In which languages documents are printed."""

from collections.abc import Iterable

#: ISO 639-1 codes. The first is the one that documents are written in; every other one is a catalogue of translations.
LANGUAGES = ("en", "fr")
#: For whom no language is known, or one that is not printed.
FALLBACK = LANGUAGES[0]


def choose_language(wanted: str | None) -> str:
    """The language of an organisation's documents: what it wants (`fr`, `fr-BE`, `FR`), or else English."""
    return _language_of(wanted) if is_printed(wanted) else FALLBACK


def is_printed(wanted: str | None) -> bool:
    """Whether documents are printed in a language: an ISO 639-1 code, with or without a region."""
    return _language_of(wanted) in LANGUAGES


def find_unprinted(wanted: Iterable[str]) -> list[str]:
    """The languages of these that documents are not printed in, in order."""
    return sorted({language for language in wanted if not is_printed(language)})


def _language_of(wanted: str | None) -> str:
    return (wanted or FALLBACK).replace("_", "-").partition("-")[0].lower()
