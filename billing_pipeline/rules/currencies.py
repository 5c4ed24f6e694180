"""How many decimals a currency's minor unit has: the active currencies of ISO 4217, funds and metals left out.

And amounts as programs read them: plain digits, no thousands, exact.
"""

import polars as pl

_DECIMALS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF",
    2: (
        "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY "
        "COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS "
        "INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR "
        "MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD "
        "SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG"
    ),
    3: "BHD IQD JOD KWD LYD OMR TND",
}

#: Decimals of the minor unit per ISO 4217 code: 2 for EUR (cents), 0 for JPY, 3 for KWD.
MINOR_DIGITS: dict[str, int] = {
    currency: digits for digits, currencies in _DECIMALS.items() for currency in currencies.split()
}


def write_amount(cents: str, currency: str = "currency", point: str = ".") -> pl.Expr:
    """A column of minor units as text in major ones: `1234.50`, `-0.05`, `1235` where there is no minor unit.

    Args:
        cents: the column of amounts.
        currency: the column of their currencies.
        point: what stands before the decimals.
    """
    digits = pl.col(currency).replace_strict(MINOR_DIGITS, return_dtype=pl.Int64)
    sign = pl.when(pl.col(cents) < 0).then(pl.lit("-")).otherwise(pl.lit(""))
    text = pl.col(cents).abs().cast(pl.String)
    # At least one digit before the point.
    padded = pl.max_horizontal(digits + 1 - text.str.len_bytes().cast(pl.Int64), 0)
    full = pl.lit("0").repeat_by(padded).list.join("") + text
    whole, part = full.str.head(full.str.len_chars().cast(pl.Int64) - digits), full.str.tail(digits)
    return sign + whole + pl.when(digits > 0).then(pl.lit(point) + part).otherwise(pl.lit(""))
