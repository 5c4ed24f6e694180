"""Documents stamped instead of laid out: WeasyPrint lays each part of a document out once, for all documents.

`skeleton` takes a view apart into strips (a paragraph, a row of a table, the panel) and their values. In
`weasyprint_boxes`, WeasyPrint lays each kind of strip out; `strips` is what is taken down: drawing with holes in it.
`shaping` makes glyphs of values, `filling` sets them in their holes, `flow` puts strips on pages, `structure` says
what they mean, `pictures` draws bars and codes, `stamp` draws the pages, and `container` is the file around them.
`press` does all of it, or says why a document does not fit: it is WeasyPrint's then.
"""
