"""Accounting files, as other programs read them: frames in, bytes out, and the same bytes for the same rows."""
