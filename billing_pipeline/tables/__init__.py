"""The shape of every table between stages: columns, types, units and invariants.

Conventions that hold in every table:

- `_cents` is money in the currency's minor unit, a whole number within ±10^12; signs are as printed on the invoice.
- `_at` is a UTC instant with microseconds; `_us`, `_s` are durations in whole micro- or seconds; periods are half-open.
- `owner_id` is who used something, `payer_id` who pays for it; an organisation that pays for itself is its own payer.
- `_ppm` is a rate in millionths (200000 = 20 %), so that no rate is ever a binary float.
"""
