"""Documents stamped instead of laid out: WeasyPrint lays each shape out once, values are written into it afterwards.

`skeleton` takes a view apart into its shape and its values. `weasyprint_boxes` has WeasyPrint lay the shape out and
takes down a `form`, constant but for holes. `shaping` makes glyphs of values, `stamp` writes them into the form, with
detail rows over as many pages as they take, and `container` is the file around it. `press` does all of it, or says why
a document does not fit: it is WeasyPrint's then.
"""
