"""An invoice on paper and as data: published frames -> view model -> HTML -> PDF, and e-invoice -> XML.

`view` turns the rows of a payer into finished text, `rendering` sets that text through one template for screen and
print, `archiving` writes what is printed so that it can be kept, read aloud and taken in, `pool` does so for a whole
month on every core. `formatting` and `texts` hold how figures and words are printed, `languages` in which language.
`einvoice` says the same in the terms of EN 16931, `cii` writes that as XML, which the PDF carries.
"""
