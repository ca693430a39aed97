"""Amounts in the currency's own units: how many minor digits a currency has, and one currency out of many.

A payment provider writes 1299 for 12.99 USD, 1299 for 1299 JPY and 1299 for 1.299 KWD: the exponent is the currency's.
"""

from __future__ import annotations

from warehouse.engine import quote

# ISO 4217: currencies whose minor unit is not a hundredth.
MINOR_DIGITS: dict[str, int] = {
    **dict.fromkeys(
        [
            "BIF",
            "CLP",
            "DJF",
            "GNF",
            "ISK",
            "JPY",
            "KMF",
            "KRW",
            "PYG",
            "RWF",
            "UGX",
            "UYI",
            "VND",
            "VUV",
            "XAF",
            "XOF",
            "XPF",
        ],
        0,  # no minor unit at all
    ),
    **dict.fromkeys(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"], 3),
}


def to_major(minor: str, currency: str) -> str:
    """SQL for the amount in major units (DECIMAL(18, 4)) of `minor`, an integer count of the smallest unit of
    `currency` (ISO code in any case; null counts as two digits). Null where `minor` is no whole number."""
    factors = " ".join(
        f"WHEN upper({currency}) IN ({', '.join(quote(code) for code, d in MINOR_DIGITS.items() if d == digits)}) "
        f"THEN CAST('{10.0**-digits:.4f}' AS DECIMAL(6, 4))"
        for digits in sorted(set(MINOR_DIGITS.values()))
    )
    fits = f"regexp_full_match(CAST({minor} AS VARCHAR), '[+-]?\\d+')"
    # decimals all the way: a float would lose the cent
    factor = f"(CASE {factors} ELSE CAST('0.0100' AS DECIMAL(6, 4)) END)"
    return f"CASE WHEN {fits} THEN TRY_CAST(TRY_CAST({minor} AS DECIMAL(28, 0)) * {factor} AS DECIMAL(18, 4)) END"


def converted(amount: str, currency: str, rate: str, own: str) -> str:
    """SQL for `amount` of `currency` in the currency `own` (an SQL literal) at `rate` (own units for one foreign unit),
    rounded half away from zero to four places. An amount without a currency is in the own one."""
    exact = f"CAST({amount} AS DECIMAL(18, 4)) * CAST({rate} AS DECIMAL(18, 8))"
    return (
        f"CASE WHEN {currency} IS NULL OR {currency} = {own} THEN {amount} "
        f"ELSE TRY_CAST(round({exact}, 4) AS DECIMAL(18, 4)) END"
    )
