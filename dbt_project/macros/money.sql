{#-
    The one place where money is divided and rounded: q * p / d + t in units of u, half away from zero, exactly.

    q  whole quantity, signed                     p  price numerator, signed, |p| < 10^36
    d  whole divisor of the product, 0 < d < 5*10^28
    u  one minor unit at the scale of p           t  amount added before rounding, at the scale of p, t >= 0

    DuckDB turns `/` on decimals into a binary double, and q * p overflows 128 bits. So q is divided in two stages,
    q = d * (q // d) + r, and r * p is divided limb by limb (base 10^9), as on paper. Everything is doubled so that the
    half is a whole number; the sign is taken out first, because `//` truncates toward zero. What does not fit in
    128 bits raises; nothing wraps.

    Almost every line is small enough for one product and one division, eight times faster: with the bounds below, the
    numerator stays under 4*10^37 + 2.1*10^37 and the divisor under 2*10^36, both inside 128 bits (1.7*10^38).
-#}
{%- macro money(q, p, d, u, t="0") -%}
{%- set quantity = "abs((" ~ q ~ ")::hugeint)" -%}
{%- set price = "abs((" ~ p ~ ")::hugeint)" -%}
{%- set divisor = "(" ~ d ~ ")::hugeint" -%}
{%- set rest = "(2 * (" ~ quantity ~ " % " ~ divisor ~ "))" -%}
{%- set limb = "1000000000::hugeint" -%}
{%- set x3 = "(" ~ rest ~ " * (" ~ price ~ " // 1000000000000000000000000000::hugeint))" -%}
{%- set x2 = "(" ~ x3 ~ " % " ~ divisor ~ " * " ~ limb ~ " + "
    ~ rest ~ " * (" ~ price ~ " // 1000000000000000000::hugeint % " ~ limb ~ "))" -%}
{%- set x1 = "(" ~ x2 ~ " % " ~ divisor ~ " * " ~ limb ~ " + " ~ rest ~ " * (" ~ price ~ " // " ~ limb ~ " % " ~ limb ~ "))" -%}
{%- set x0 = "(" ~ x1 ~ " % " ~ divisor ~ " * " ~ limb ~ " + " ~ rest ~ " * (" ~ price ~ " % " ~ limb ~ "))" -%}
(
    case when (({{ q }}) < 0) <> (({{ p }}) < 0) then -1 else 1 end
    * case
        when
            {{ quantity }} < 2000000000 and {{ price }} < 10000000000000000000000000000::hugeint
            and {{ divisor }} < 10000000000 and ({{ t }})::hugeint < 1000000000000000000000000000::hugeint
            and ({{ u }})::hugeint <= 100000000000000000000000000::hugeint
            then
                (2 * {{ quantity }} * {{ price }} + {{ divisor }} * (2 * ({{ t }})::hugeint + ({{ u }})::hugeint))
                // (2 * {{ divisor }} * ({{ u }})::hugeint)
        else
            (
                2 * ({{ quantity }} // {{ divisor }}) * {{ price }}
                + (({{ x3 }} // {{ divisor }} * {{ limb }} + {{ x2 }} // {{ divisor }}) * {{ limb }} + {{ x1 }} // {{ divisor }}) * {{ limb }}
                + {{ x0 }} // {{ divisor }}
                + 2 * ({{ t }})::hugeint
                + ({{ u }})::hugeint
            ) // (2 * ({{ u }})::hugeint)
    end
)::bigint
{%- endmacro -%}
