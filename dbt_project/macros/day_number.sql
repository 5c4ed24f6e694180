{#-
    Which day of the month an instant of it lies in, counted from 1; the month's end lies in the day after the last one.

    A day of 24 hours finds it, give or take the one day that clocks which were changed move it by; `period` is in scope.
-#}
{%- macro day_number(instant) -%}
{%- set guess = "((" ~ instant ~ " - period.period_start_us) // 86400000000 + 1)" -%}
(
    {{ guess }}
    + case
        when {{ instant }} >= period.day_starts_us[{{ guess }} + 1] then 1
        when {{ instant }} < period.day_starts_us[{{ guess }}] then -1
        else 0
    end
)
{%- endmacro -%}
