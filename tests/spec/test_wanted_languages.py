import pytest

from billing_pipeline.rules.flags import flag_languages
from billing_pipeline.rules.languages import choose_language


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [("fr", "fr"), ("en", "en"), ("FR", "fr"), ("fr-CA", "fr"), ("fr_BE", "fr"), ("de", "en"), ("french", "en"),
     ("", "en"), (None, "en")],
)  # fmt: skip
def test_documents_are_in_the_language_that_is_wanted_or_else_in_english(wanted, chosen):
    assert choose_language(wanted) == chosen


def test_an_organisation_whose_language_is_not_printed_is_flagged_by_it(given):
    flags = flag_languages(
        given.organisations(
            {"owner_id": "french", "language": "fr"},
            {"owner_id": "swiss", "language": "fr-CH"},
            {"owner_id": "german", "language": "de"},
        )
    )

    assert flags.select("owner_id", "reason", "detail", "rows").rows() == [
        ("german", "language_unknown", "1 rows, e.g. de: documents are printed in English", 1)
    ]
