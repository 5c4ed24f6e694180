"""Memory: when it is worth while to look for what is not needed any more."""

import gc
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def without_collection() -> Generator[None, None, None]:
    """Leave garbage alone: stamped documents leave none that refers to itself, and to look takes half as long again.

    What WeasyPrint lays out is full of it, and is to be collected by whoever laid it out.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
