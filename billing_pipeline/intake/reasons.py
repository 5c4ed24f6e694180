"""Every reason code that intake gives, with what it means, spelled once.

`ROWS` stand in `usage/quarantine`, `FILES` as `refused_reason` in `usage/file_receipts`, `FLAGS` in front of its
`detail`: such a file is read all the same. `OWNERS` park an organisation, `MONTHS` stop a month before rating.
"""

ROWS = {
    "basis_unknown": "the basis of a price is none of runtime, stored, moved, units",
    "country_syntax": "no country code of two capital letters",
    "currency_syntax": "no currency code of three capital letters",
    "future": "dated more than five minutes after it was taken in",
    "id_syntax": "an id with characters or of a length that ids may not have; nothing is folded or trimmed",
    "invoice_kind": "a single charge for an invoice that is neither monthly nor specific",
    "kind_unknown": "a kind that the feed does not know",
    "money_float": "an amount as a binary floating point number; send it as text or as a decimal",
    "month_syntax": "no month such as 2026-10",
    "naive_timestamp": "an instant without an offset",
    "negative": "a quantity or an amount below zero",
    "not_finite": "NaN, an infinity or a negative zero instead of a number",
    "number_syntax": "no number in plain ASCII digits, or with more decimals than are kept",
    "rate_range": "a rate or factor outside its range",
    "row_cast": "a value of a type that its column does not take",
    "row_encoding": "text that is not UTF-8, or holds a NUL",
    "row_shape": "a line that is no row of the file's columns, or no JSON object with each key once",
    "spend_rule_shape": "a spend rule without what its kind needs",
    "stop_before_start": "an interval that ends before it starts",
    "tier_shape": "a tier mode that is none of flat, graduated, slab, package",
    "time_local": "an instant in the time of a named zone; send UTC or an offset",
    "time_range": "an instant before 1990 or after 2199: another unit taken for microseconds",
    "time_syntax": "no date or instant that exists",
    "too_big": "a number or a text beyond what a row can hold",
    "too_late": "usage of a month for which no correction is made any more (late_months)",
    "value_missing": "a required value is null or absent",
}

FILES = {
    "feed_unknown": "no feed has the folder's name; nothing in it is billed",
    "file_checksum": "the bytes are not those that the manifest beside the file announces",
    "file_duplicate": "the same bytes landed before under another name",
    "file_empty": "the file has no bytes",
    "file_format": "the content is not what the file's ending says, or the ending is none that is read",
    "file_path": "a link that leads away, a device, a folder or a name that cannot be told from a pattern",
    "file_superseded": "other bytes took the file's place while its month was open; those count",
    "file_too_big": "more rows, cells or bytes than one file may have",
    "file_truncated": "the file ends before its content does",
    "money_float": "a money column holds binary floating point numbers; send text or decimals",
    "row_shape": "most lines are no rows of the file's columns",
    "schema_dupcol": "two columns have the same name",
    "schema_missing": "a required column is missing, or was renamed",
    "schema_type": "a column has a type that cannot be read without loss",
    "schema_tz": "a timestamp column without a zone, or finer than microseconds",
}

FLAGS = {
    "file_no_rows": "columns but no rows",
    "late_file": "rows of months that had been closed; billed as corrections",
    "leap": "leap seconds, read as the second after them",
    "schema_extra": "unknown columns, kept out",
}

OWNERS = {"event_conflict": "rows of one event or key contradict each other at the same ingested_at"}

MONTHS = {"file_missing": "a source that settings declare as needed has no row of the month"}
