"""Documents stamped instead of laid out: WeasyPrint lays each part of a document out once, for all documents.

`skeleton` takes a view apart into strips (a paragraph, a row of a table, the panel) and their values. In
`weasyprint_boxes`, WeasyPrint lays each kind of strip out with made-up values (`tokens`); `strips` is what is taken
down: drawing with holes in it, and tags (`structure_reader`).

`shaping` makes glyphs of values, `filling` sets them in their holes, `flow` puts strips on pages, `drawing` and
`pictures` draw them, `structure` writes what they mean, `stamp` makes a document of all that, and `container` is the
file around it. `press` does all of it, or says why a document does not fit: it is WeasyPrint's then.
"""
