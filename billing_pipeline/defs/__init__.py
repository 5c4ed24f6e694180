"""What runs and when: thin Dagster definitions, one module a stage. An asset reads, calls a rule, writes, reports."""
