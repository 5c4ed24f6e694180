{# A work file is new and thrown away: what is built takes nothing's place, so it is made under its own name at once.
   The adapter's own way, with a name to be renamed and the old one to be dropped, costs a small month a second. #}

{% materialization table, adapter="duckdb" %}
    {%- set relation = this.incorporate(type="table") -%}
    {% call statement("main") -%}
        {{ create_table_as(False, relation, compiled_code) }}
    {%- endcall %}
    {{ adapter.commit() }}
    {{ return({"relations": [relation]}) }}
{% endmaterialization %}


{% materialization view, adapter="duckdb" %}
    {%- set relation = this.incorporate(type="view") -%}
    {% call statement("main") -%}
        {{ get_create_view_as_sql(relation, sql) }}
    {%- endcall %}
    {{ adapter.commit() }}
    {{ return({"relations": [relation]}) }}
{% endmaterialization %}
