-- A property of the whole file, shown with what is made last: {{ ref('charges') }}
select
    name,
    value
from duckdb_settings()
where
    (name = 'enable_external_access' and value <> 'false')
    or (name = 'lock_configuration' and value <> 'true')
