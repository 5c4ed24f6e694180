select
    line_id,
    count(*) as named_lines
from {{ ref('charges') }}
group by line_id
having count(*) > 1
