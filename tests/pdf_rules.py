"""What validators and readers that this project did not write make of a PDF.

`page-validation` knows the rules of PDF/A-3a (156) and PDF/UA-1 (134) and needs no network; `qpdf` checks the syntax of
the file, where the machine has it; `pypdf` takes out what is embedded.
"""

import subprocess
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from shutil import which
from xml.etree import ElementTree

import pytest

#: More rows than a thousand in a table are no fault.
_TABLE_ROWS = 100_000
_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_DESCRIBED = {"{http://www.aiim.org/pdfa/ns/id/}": "pdfa", "{http://www.aiim.org/pdfua/ns/id/}": "pdfua"}
_FACTUR_X = "{urn:factur-x:pdfa:CrossIndustryDocument:invoice:1p0#}"

needs_validator = pytest.mark.skipif(
    find_spec("page") is None, reason="what a PDF/A and PDF/UA must be is known to the package page-validation"
)
needs_qpdf = pytest.mark.skipif(
    which("qpdf") is None, reason="the syntax of PDFs is checked by qpdf (apt install qpdf)"
)
needs_reader = pytest.mark.skipif(find_spec("pypdf") is None, reason="embedded files are read by the package pypdf")


def faults_of(pdf: bytes) -> list[str]:
    """What PDF/A-3a and PDF/UA-1 object to."""
    import page

    profiles = page.ValidationProfile.PDF_A_3A, page.ValidationProfile.PDF_UA_1
    limits = page.SafetyLimits(max_table_grid_rows=_TABLE_ROWS)
    reports = [page.validate_pdf_bytes(pdf, profile=profile, limits=limits) for profile in profiles]
    assert all(report.rules.passed > 100 for report in reports), "the validator looked at little"
    return [f"{fault.rule_id}: {fault.message}" for report in reports for fault in report.failures]


def syntax_faults_of(pdf: Path) -> str:
    """What qpdf warns of; empty where the file is sound."""
    checked = subprocess.run(["qpdf", "--check", pdf], capture_output=True, text=True, check=False)
    return "" if checked.returncode == 0 else checked.stdout + checked.stderr


def embedded_in(pdf: bytes) -> list:
    """The files in a PDF, as pypdf reads them."""
    return list(_read(pdf).attachment_list)


def associated_files(pdf: bytes) -> int:
    """How many files the catalogue names as belonging to the document."""
    return len(_read(pdf).root_object.get("/AF", []))


def metadata_of(pdf: bytes) -> dict[str, str]:
    """What the metadata says of PDF/A, PDF/UA and Factur-X."""
    packet = _read(pdf).root_object["/Metadata"].get_data()
    assert packet in pdf, "programs that know nothing of PDF cannot read the metadata"
    (statements,) = ElementTree.fromstring(packet).iter(f"{_RDF}RDF")  # noqa: S314 -- written by us
    said = {}
    for description in statements.iter(f"{_RDF}Description"):
        properties = description.attrib | {child.tag: child.text for child in description}
        for name, value in properties.items():
            namespace, local = name[: name.index("}") + 1], name[name.index("}") + 1 :]
            if namespace == _FACTUR_X:
                said[local] = value
            elif namespace in _DESCRIBED:
                said[f"{_DESCRIBED[namespace]} {local}"] = value
    return said


def _read(pdf: bytes):
    from pypdf import PdfReader

    return PdfReader(BytesIO(pdf), strict=True)
