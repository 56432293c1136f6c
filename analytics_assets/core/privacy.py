"""Pseudonyms in place of personal ids, and the list of forgotten persons.

Put here: the key, the pseudonym of a value, who is suppressed. Keep out: removing somebody from what is already
published (``core/forget.py``).

A pseudonym is the first 128 bits of HMAC-SHA256 over the column's name and the value (NFC, outer blanks removed), so
equal values stay equal and nobody without the key can try out candidates. It is still personal data.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from analytics_assets.core.errors import PipelineError, explained_os_errors
from analytics_assets.core.files import read_json, sync_file, sync_folder, write_json
from analytics_assets.core.lake import Lake
from analytics_assets.schemas import EVENT_CHUNKS, NULL_TOKENS, PERSONAL_COLUMNS, SENTINEL_IDS

KEY_VARIABLE, MODE_VARIABLE = "ANALYTICS_PII_KEY", "ANALYTICS_PII"
MIN_KEY_CHARACTERS = 16
"""A shorter key could be guessed."""

PSEUDONYM_CHARACTERS = 32
"""128 bits in hexadecimal: two of a billion values meet with a probability below 1e-20."""

LINKING_COLUMNS = ("user_id", "device_id", "amplitude_id")
"""Columns by which events belong to a person."""

Mode = Literal["pseudonymize", "keep"]


@dataclass(frozen=True)
class Privacy:
    """What happens to personal values.

    Parameters
    ----------
    mode : {"pseudonymize", "keep"}
        Whether the chunks hold pseudonyms or the delivered values.
    key : bytes
        Key of the pseudonyms and of the suppression list.
    suppressed : mapping of str to frozenset of str
        For each of `LINKING_COLUMNS`, digests of the ids of forgotten persons.
    """

    mode: Mode = "keep"
    key: bytes = b""
    suppressed: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, lake: Lake) -> Privacy:
        """Settings of a lake: ``ANALYTICS_PII``, and the key of ``ANALYTICS_PII_KEY`` or of the lake's key file.

        Raises
        ------
        PipelineError
            A variable makes no sense, or the key is not the one with which persons were forgotten.
        """
        mode = os.environ.get(MODE_VARIABLE, "") or "pseudonymize"
        if mode not in ("pseudonymize", "keep"):
            raise PipelineError(MODE_VARIABLE, f"{mode!r} is unknown", "Set it to pseudonymize or keep.")
        with explained_os_errors(lake.root):
            key = _key(lake)
            listed = _read_suppressed(lake)
        if listed and listed["key_id"] != key_id(key):
            raise PipelineError(
                lake.suppressed(),
                f"persons were forgotten under the key {listed['key_id']}, the key now is {key_id(key)}",
                f"Set {KEY_VARIABLE} to that key, so that they stay forgotten.",
            )
        suppressed = {name: frozenset(listed.get(name, ())) for name in LINKING_COLUMNS} if listed else {}
        return cls("keep" if mode == "keep" else "pseudonymize", key, suppressed)

    @property
    def key_id(self) -> str:
        """Which key it is, without telling the key."""
        return key_id(self.key)

    def fingerprint(self) -> str:
        """Digest of everything that changes what is ingested."""
        listed = json.dumps({name: sorted(values) for name, values in sorted(self.suppressed.items())})
        return hashlib.sha256(f"{self.mode} {self.key_id} {listed}".encode()).hexdigest()

    def describe(self) -> dict[str, Any]:
        """What the manifest says about it."""
        if self.mode == "keep":
            return {"mode": "keep"}
        return {
            "mode": "pseudonymize",
            "method": "HMAC-SHA256, 128 bits, per column",
            "key_id": self.key_id,
            "columns": list(PERSONAL_COLUMNS),
        }

    def digest(self, column: str, value: str) -> str:
        """Pseudonym of a value, also when it stands for nobody."""
        text = unicodedata.normalize("NFC", value).strip()
        message = f"{column}\0{text}".encode("utf-8", "surrogatepass")
        return hmac.digest(self.key, message, "sha256").hex()[:PSEUDONYM_CHARACTERS]

    def shown(self, column: str, value: str) -> str:
        """What the chunks hold in place of a value: itself when it stands for nobody or is kept, else its pseudonym."""
        if self.mode == "keep" or column not in PERSONAL_COLUMNS or stands_for_nobody(column, value):
            return value
        return self.digest(column, value)

    def digest_of_shown(self, column: str, shown: str) -> str:
        """Pseudonym of a value that is given as the chunks hold it."""
        return shown if self.mode == "pseudonymize" and column in PERSONAL_COLUMNS else self.digest(column, shown)

    def forgets(self, column: str, value: str) -> bool:
        """Whether an id belongs to a forgotten person."""
        listed = self.suppressed.get(column)
        return bool(listed) and not stands_for_nobody(column, value) and self.digest(column, value) in (listed or ())

    def forgets_event(self, ids: Mapping[str, str | None]) -> bool:
        """Whether an event belongs to a forgotten person: by its login, and without one by its device or person id."""
        if not self.suppressed:
            return False
        user = ids.get("user_id")
        if user is not None and not stands_for_nobody("user_id", user):
            return self.forgets("user_id", user)
        return any(
            value is not None and self.forgets(column, value)
            for column in ("device_id", "amplitude_id")
            for value in (ids.get(column),)
        )

    def forgets_bytes(self, raw: bytes) -> bool:
        """Whether refused bytes name a forgotten person: any text in them is a login, or their ids say so."""
        if not self.suppressed:
            return False
        ids: dict[str, str | None] = {}
        for token in _TOKEN.finditer(raw):
            text = _text_of(token["number"] if token["text"] is None else token["text"])
            if self.forgets("user_id", text):
                return True
            if token["key"] and token["key"].decode() in LINKING_COLUMNS:
                ids[token["key"].decode()] = text
        return self.forgets_event(ids)


_TOKEN = re.compile(rb'(?:"(?P<key>[a-z_]+)"\s*:\s*)?(?:"(?P<text>(?:[^"\\]|\\.)*+)"?|(?P<number>[0-9]++))', re.DOTALL)


def _text_of(token: bytes) -> str:
    try:
        return str(json.loads(b'"' + token + b'"', strict=False))
    except ValueError:
        return token.decode("utf-8", "replace")


def stands_for_nobody(column: str, value: str) -> bool:
    """Whether an id is a null token of its column or a sentinel such as ``anonymous``."""
    text = value.strip()
    return text in NULL_TOKENS or value in EVENT_CHUNKS.column(column).null_tokens or text.lower() in SENTINEL_IDS


def key_id(key: bytes) -> str:
    """Public name of a key."""
    return hashlib.sha256(b"key id\0" + key).hexdigest()[:12]


def _key(lake: Lake) -> bytes:
    text = os.environ.get(KEY_VARIABLE, "")
    if text:
        if len(text) < MIN_KEY_CHARACTERS:
            raise PipelineError(
                KEY_VARIABLE, f"shorter than {MIN_KEY_CHARACTERS} characters", "Use the output of: openssl rand -hex 32"
            )
        return text.encode("utf-8")
    path = lake.pii_key()
    if not path.exists():
        _make_key(path)
    key = path.read_bytes().strip()
    if len(key) < MIN_KEY_CHARACTERS:
        raise PipelineError(path, "the key file is damaged", f"Restore it, or set {KEY_VARIABLE}.")
    return key


def _make_key(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(secrets.token_hex(32).encode("ascii") + b"\n")
    sync_file(temporary)
    try:
        os.link(temporary, path)  # unlike a rename, it never replaces the key that another process has just made
        sync_folder(path.parent)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()


def _read_suppressed(lake: Lake) -> dict[str, Any]:
    path = lake.suppressed()
    if not path.exists():
        return {}
    try:
        listed = read_json(path)
        return {"key_id": listed["key_id"], **{name: list(listed[name]) for name in LINKING_COLUMNS}}
    except (ValueError, KeyError, TypeError) as error:
        raise PipelineError(path, f"the suppression list cannot be read ({error})", "Restore it.") from error


def suppress(lake: Lake, privacy: Privacy, digests: Mapping[str, Iterable[str]]) -> Privacy:
    """Add digests of a person's ids to the suppression list and return the settings with it."""
    suppressed = {
        column: privacy.suppressed.get(column, frozenset()) | frozenset(digests.get(column, ()))
        for column in LINKING_COLUMNS
    }
    listed = {name: sorted(values) for name, values in suppressed.items()}
    write_json(lake.suppressed(), {"key_id": privacy.key_id, **listed})
    return Privacy(privacy.mode, privacy.key, suppressed)
