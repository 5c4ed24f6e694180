"""VAT numbers and SIREN: how they are kept, and which ones somebody should look at."""

import pytest

from billing_pipeline.rules.flags import flag_registrations
from billing_pipeline.rules.registrations import (
    is_french_registration,
    is_vat_number_of,
    normalise_legal_id,
    normalise_vat_number,
)


@pytest.mark.parametrize(
    ("country", "told", "kept"),
    [
        ("DE", "de 136.695 976", "DE136695976"),
        ("GR", "el 094259216", "EL094259216"),
        ("FR", "FR 61 954 506 077", "FR61954506077"),
        ("MC", "fr61954506077", "FR61954506077"),
        ("RE", "FR-61954506077", "FR61954506077"),
        # What cannot be right stays as it was told, for whoever looks at it.
        ("DE", " DE 136695977 ", "DE 136695977"),
        ("CH", "CHE-123.456.788 TVA", "CHE-123.456.788 TVA"),
    ],
)
def test_a_vat_number_is_kept_as_its_tax_office_writes_it(country, told, kept):
    assert normalise_vat_number(country, told) == kept


@pytest.mark.parametrize(
    ("country", "told", "kept"),
    [
        ("FR", "732 829 320", "732829320"),
        ("FR", "732 829 320 00074", "73282932000074"),
        ("FR", "732 829 321", "732 829 321"),
        ("DE", " HRB 12345", "HRB 12345"),
    ],
)
def test_a_siren_is_kept_without_spaces_and_other_registers_numbers_as_they_are(country, told, kept):
    assert normalise_legal_id(country, told) == kept


@pytest.mark.parametrize(
    ("country", "number", "is_valid"),
    [
        ("DE", "DE136695976", True),
        ("DE", "DE136695977", False),
        ("DE", "ATU57194903", False),
        ("MC", "FR61954506077", True),
        ("GB", "GB980780684", False),
    ],
)
def test_a_vat_number_is_that_of_a_member_state_with_its_check_digits(country, number, is_valid):
    assert is_vat_number_of(country, number) == is_valid


@pytest.mark.parametrize(
    ("number", "is_valid"), [("732829320", True), ("73282932000074", True), ("732829321", False), ("7328293", False)]
)
def test_a_french_business_is_registered_under_a_siren_or_siret(number, is_valid):
    assert is_french_registration(number) == is_valid


def test_numbers_that_cannot_be_right_are_flagged_by_owner(given):
    flags = flag_registrations(
        given.organisations(
            {"owner_id": "right", "vat_number": "FR61954506077", "legal_id": "954506077"},
            {"owner_id": "none"},
            {"owner_id": "mistyped", "vat_number": "FR61954506078", "legal_id": "954506078"},
            {"owner_id": "island", "country": "MF", "vat_number": "1", "legal_id": "954506077"},
            {"owner_id": "foreign", "country": "CH", "vat_number": "CHE-1", "legal_id": "1"},
            {"owner_id": "german", "country": "DE", "vat_number": "FR61954506077", "legal_id": "HRB 1"},
        )
    )

    assert sorted(flags.select("owner_id", "reason", "rows").rows()) == [
        ("german", "vat_number_invalid", 1),
        ("mistyped", "legal_id_invalid", 1),
        ("mistyped", "vat_number_invalid", 1),
    ]
    assert "FR61954506078" in flags.filter(owner_id="mistyped", reason="vat_number_invalid")["detail"].item()
