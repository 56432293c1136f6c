"""How many threads numerical libraries use.

Put here: the limit. Keep out: processes and pools, which belong to who starts them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module


@contextmanager
def one_thread(*modules: str) -> Iterator[None]:
    """Keep numerical libraries to one thread: on small matrices several only wait for each other.

    SciPy brings a BLAS of its own beside NumPy's, and a limit reaches only libraries that are loaded already.

    Parameters
    ----------
    modules : str
        What else is to be loaded first, such as ``sklearn.cluster``.
    """
    from threadpoolctl import threadpool_limits

    for module in ("scipy.linalg", *modules):
        import_module(module)
    with threadpool_limits(limits=1):
        yield
