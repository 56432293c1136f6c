"""The one error that users are meant to read: it names the place, the fact and the remedy."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path


class PipelineError(Exception):
    """Input or surroundings that make a step impossible.

    Parameters
    ----------
    place : str or Path
        File or folder, with the position inside it where there is one.
    fact : str
        What is wrong there.
    remedy : str
        What to do about it.
    """

    def __init__(self, place: str | Path, fact: str, remedy: str) -> None:
        self.place, self.fact, self.remedy = str(place), fact, remedy
        super().__init__(f"{place}: {fact}. {remedy}")


_REMEDIES = {
    errno.ENOSPC: (
        "no space left on the device",
        "Free space there and run the step again; earlier results are untouched.",
    ),
    errno.EDQUOT: (
        "the disk quota is used up",
        "Free space there and run the step again; earlier results are untouched.",
    ),
    errno.EACCES: ("permission denied", "Give the user who runs the pipeline access to it and run the step again."),
    errno.EPERM: (
        "operation not permitted",
        "Give the user who runs the pipeline access to it and run the step again.",
    ),
    errno.EROFS: (
        "the file system is read-only",
        "Mount it writable, or point ANALYTICS_DATA_DIR at a writable folder.",
    ),
}


_FULL = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))
"""How engines with errors of their own, such as DuckDB and Spark, pass on that the disk is full."""


@contextlib.contextmanager
def explained_os_errors(place: str | Path) -> Iterator[None]:
    """Turn a full disk or a missing permission into a `PipelineError`; other errors pass through."""
    try:
        yield
    except OSError as error:
        known = _REMEDIES.get(error.errno or 0)
        if known is None:
            raise
        fact, remedy = known
        raise PipelineError(error.filename or place, fact, remedy) from error
    except PipelineError:
        raise
    except Exception as error:
        for number, words in zip((errno.ENOSPC, errno.EDQUOT), _FULL, strict=True):
            if words in str(error):
                raise PipelineError(place, *_REMEDIES[number]) from error
        raise


_PASSING = {
    *(errno.EIO, errno.ESTALE, errno.EAGAIN, errno.ETIMEDOUT),
    *(errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN),
}


def is_transient(error: BaseException) -> bool:
    """Whether the same step may well succeed a little later: lost connections, and storage that was away.

    Everything else comes again with the same input: wrong data, wrong settings, a full disk, a mistake in the code.
    """
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    # Spark's Java process was lost; py4j need not be installed where no Spark runs.
    if type(error).__name__ == "Py4JNetworkError":
        return True
    return isinstance(error, OSError) and error.errno in _PASSING
