"""An invoice on paper: published frames -> view model -> HTML -> PDF.

`view` turns the rows of a payer into finished text, `rendering` sets that text through one template for screen and
print, `pool` does so for a whole month on every core. `formatting` and `texts` hold how figures and words are printed.
"""
