with currencies as (
    select * from {{ source('run', 'currencies') }}
)

select
    currency,
    -- One minor unit (a cent, a yen) as a numerator at the scale of the prices, 10^26.
    ('1' || repeat('0', 26 - digits))::hugeint as minor_unit_e26
from currencies
