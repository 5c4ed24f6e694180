"""Sharing a whole amount over parts without losing or inventing a cent."""

from collections.abc import Sequence


def share(amount: int, weights: Sequence[int]) -> list[int]:
    """Split ``amount`` in proportion to ``weights`` by largest remainder; the shares add up to it exactly.

    Shares are first rounded toward zero; the units left over go, one each, to the largest remainders, and among equal
    remainders to the earlier part. The order of the parts therefore matters and must be deterministic.

    Raises:
        ValueError: a weight is negative, or all are zero while there is something to share.
    """
    if any(weight < 0 for weight in weights):
        message = "weights must not be negative"
        raise ValueError(message)
    whole = sum(weights)
    if whole == 0:
        if amount:
            message = f"cannot share {amount} over parts that all weigh nothing"
            raise ValueError(message)
        return [0] * len(weights)
    sign, magnitude = (-1 if amount < 0 else 1), abs(amount)
    shares = [magnitude * weight // whole for weight in weights]
    remainders = [magnitude * weight % whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda part: (-remainders[part], part))
    for part in by_remainder[: magnitude - sum(shares)]:
        shares[part] += 1
    return [sign * part for part in shares]
