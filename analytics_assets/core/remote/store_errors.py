"""A store's errors in words that say what to do and tell no secret.

Put here: which of them pass by themselves, and what the others mean. Keep out: the calls (``bucket.py``).
"""

from __future__ import annotations

import errno
from typing import Any

from analytics_assets.core.errors import PipelineError

URL_VARIABLE = "ANALYTICS_LAKE_URL"

_BUSY = {"InternalError", "OperationAborted", "RequestTimeout", "ServiceUnavailable", "SlowDown", "500", "502", "503"}
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


class MissingObject(PipelineError):
    """An object that ought to be there is not."""


def code_of(error: BaseException) -> str:
    """The store's code for an error; empty when it gave none."""
    for found in (error, error.__cause__):
        response: Any = getattr(found, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", ""))
    return ""


def is_local(error: Exception) -> bool:
    """Whether it is the local file that fails, not the store."""
    return isinstance(error, OSError) and (error.filename is not None or error.errno in _DISK)


def in_words(url: str, place: str, error: Exception) -> Exception:
    """Our error for one of the store: a `ConnectionError` when it may pass, else a `PipelineError`."""
    code = code_of(error)
    if _passes(error, code):
        return ConnectionError(f"{place}: the store cannot be reached ({code or type(error).__name__})")
    if isinstance(error, FileNotFoundError) and code != "NoSuchBucket":
        return MissingObject(place, "the object is missing", "Restore it from a backup of the bucket.")
    return PipelineError(*_facts(url, place, error, code))


def _passes(error: Exception, code: str) -> bool:
    """Whether a connection failed or the store is busy."""
    import aiohttp
    from botocore import exceptions as boto

    if isinstance(error, boto.ConnectionError | boto.HTTPClientError | aiohttp.ClientError):
        return True
    lasting = isinstance(error, FileNotFoundError | PermissionError)
    return isinstance(error, OSError) and not lasting and (not code or code in _BUSY)


def _facts(url: str, place: str, error: Exception, code: str) -> tuple[str, str, str]:
    """Place, fact and remedy of an error that lasts."""
    from botocore import exceptions as boto

    if code == "NoSuchBucket":
        return url, "there is no such bucket", f"Create it, or correct {URL_VARIABLE}."
    if isinstance(error, boto.NoCredentialsError | boto.PartialCredentialsError | boto.ProfileNotFound):
        return url, "there are no credentials for it", "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
    if isinstance(error, PermissionError):
        return (
            place,
            f"the store refuses access ({code or 'no reason given'})",
            "Check the credentials in the AWS_* variables and the bucket's policy.",
        )
    if isinstance(error, ValueError):
        return "AWS_ENDPOINT_URL", "it is not an address", "Use one like https://s3.example.org."
    if code:
        return place, f"the store answers {code}", "Look the code up in the store's manual."
    return place, f"the store's client fails ({type(error).__name__})", "Check the AWS_* variables and settings files."
