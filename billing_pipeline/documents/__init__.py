"""An invoice on paper and as data: published frames -> view model -> HTML, PDF and XML.

`building` turns the rows of a payer into finished text, a `view`; `rendering` sets that text through one template for
screen and print, `pool` does so for a whole month on every core. `stamping` writes values into what was laid out
before, `archiving` makes what is laid out fit to be kept, read aloud and taken in; `typesetting` loads what both need.
`formatting`, `languages` and `texts` hold how figures and words are printed, `pictures` and `payment_code` what is
drawn. `einvoice` says the same in the terms of EN 16931, `cii` writes that as XML. `many_lines` is for invoices that
nobody reads to the end.
"""
