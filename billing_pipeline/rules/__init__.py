"""How money is computed: pure functions on typed frames and plain values.

Nothing here reads a file, a clock or the environment; a rule is given all it needs and returns all it decides.
"""
