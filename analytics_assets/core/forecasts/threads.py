"""How many threads linear algebra uses.

Put here: the limit. Keep out: processes (`training.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep linear algebra to one thread: on matrices of a dozen columns more only wait for each other.

    SciPy brings a BLAS of its own beside NumPy's, and a limit reaches only libraries that are loaded already.
    """
    import scipy.linalg  # noqa: F401
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        yield
