"""The template, stylesheets and fonts of documents, and WeasyPrint, each loaded once.

Nothing is fetched: fonts come from a private fontconfig file, the stylesheet is handed over, and a fetcher that knows
no protocol makes every other reference an error. WeasyPrint is imported with the first PDF, because that takes longer
than the PDF.
"""

import os
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from billing_pipeline.documents.archiving import Typesetter

_TEMPLATES = Path(__file__).parent / "templates"
_FONTCONFIG_FILE = Path(__file__).parent / "fonts" / "fonts.conf"


class TypesettingLibrariesMissing(RuntimeError):
    """WeasyPrint is installed, but the system libraries that it lays text out with are not."""


@cache
def load_template() -> Template:
    """The template of every document."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("invoice.html.jinja")


@cache
def read_stylesheet(name: str) -> str:
    """A stylesheet of this package."""
    return (_TEMPLATES / name).read_text(encoding="utf-8")


@cache
def load_typesetter() -> Typesetter:
    """WeasyPrint with the bundled fonts and the stylesheet of paper, which knows no protocol to fetch anything by.

    Raises:
        TypesettingLibrariesMissing: no PDF can be made on this machine.
    """
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
    return Typesetter(
        fonts, CSS(string=read_stylesheet("invoice.css"), font_config=fonts, url_fetcher=fetcher), fetcher
    )


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
