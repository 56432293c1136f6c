"""An S3 server on loopback.

Put here: starting and stopping it, and the variables that a worker needs for it. Keep out: what lies in it.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

import fsspec
import pytest
import s3fs

HOST = "127.0.0.1"
ACCESS_KEY, SECRET = "AKIATESTS", "not-to-be-printed-anywhere"
BUCKET = "analytics-tests"


@dataclass(frozen=True)
class S3Server:
    """Where a server listens.

    Parameters
    ----------
    endpoint : str
        Its address.
    """

    endpoint: str
    _prefixes: Iterator[int] = field(default_factory=itertools.count)

    def new_url(self) -> str:
        """A place in the bucket that nothing lies in."""
        return f"s3://{BUCKET}/lake-{next(self._prefixes)}"


@contextlib.contextmanager
def s3_server() -> Iterator[S3Server]:
    """A running server with one bucket, named by the standard AWS variables."""
    from moto.moto_server.threaded_moto_server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(HOST, 0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    endpoint = f"http://{HOST}:{port}"
    with pytest.MonkeyPatch.context() as variables:
        for name, value in {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_MAX_ATTEMPTS": "1",
        }.items():
            variables.setenv(name, value)
        try:
            with new_clients():
                fsspec.filesystem("s3").mkdir(BUCKET)
                yield S3Server(endpoint)
        finally:
            server.stop()


@contextlib.contextmanager
def new_clients() -> Iterator[None]:
    """Let no client be kept from before or after: it holds the variables of its time."""
    s3fs.S3FileSystem.clear_instance_cache()
    try:
        yield
    finally:
        s3fs.S3FileSystem.clear_instance_cache()
