"""The transfer that a banking app reads off an invoice: the QR code of the European Payments Council (EPC069-12)."""

from decimal import Decimal

import segno

from billing_pipeline.rules.currencies import MINOR_DIGITS

#: What the standard allows: characters of a name and of a reference, cents of a transfer.
_NAME_LENGTH_MAX, _REFERENCE_LENGTH_MAX, _CENTS_MAX = 70, 140, 999_999_999_99


def read_by_banks(name: str, iban: str, bic: str, cents: int, currency: str, reference: str) -> str:
    """What the code says: a SEPA credit transfer; empty where the standard knows none of that kind.

    Args:
        name: of who is paid.
        iban: its account.
        bic: of its bank, or empty.
        cents: in the currency's minor unit.
        currency: only euros are transferred so.
        reference: what the payment is found by.
    """
    is_transfer = iban and currency == "EUR" and 0 < cents <= _CENTS_MAX
    if not is_transfer or len(reference) > _REFERENCE_LENGTH_MAX:
        return ""
    amount = Decimal(cents).scaleb(-MINOR_DIGITS[currency])
    lines = (
        "BCD", "002", "1", "SCT",
        "".join(bic.split()), name[:_NAME_LENGTH_MAX].strip(), "".join(iban.split()), f"EUR{amount:f}",
        # Neither a purpose nor a structured reference.
        "", "", reference,
    )  # fmt: skip
    return "\n".join(lines)


def modules_of(said: str) -> tuple[tuple[bool, ...], ...]:
    """The code's rows of dark and light modules, without the light margin around them."""
    # Any mask is readable, and choosing the best one takes longer than everything else.
    code = segno.make_qr(said, error="m", boost_error=False, mask=3, encoding="utf-8", eci=False)
    return tuple(tuple(bool(module) for module in row) for row in code.matrix)
