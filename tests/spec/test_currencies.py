"""How many decimals a currency has."""

import pytest

from billing_pipeline.rules.currencies import MINOR_DIGITS


@pytest.mark.parametrize(("currency", "decimals"), [("JPY", 0), ("EUR", 2), ("USD", 2), ("KWD", 3)])
def test_a_currency_has_the_decimals_of_its_minor_unit(currency, decimals):
    assert MINOR_DIGITS[currency] == decimals
