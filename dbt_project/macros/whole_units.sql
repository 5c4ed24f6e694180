{#-
    The whole minor units in q * p / d + t, for amounts that are not negative: `money` rounds half up, so half a unit less
    is the floor. Terms and limits as in `money`; u is even.
-#}
{%- macro whole_units(q, p, d, u, t="0") -%}
{{ money(q, p, d, u, "(" ~ t ~ ") - (" ~ u ~ ") // 2") }}
{%- endmacro -%}
