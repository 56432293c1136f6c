"""One record of the export: its 55 fields as JSON text.

Belongs here: which field holds what, which are always null, how a record is spelled, and how a spoiled one looks.
Does not belong here: the values themselves (``population``, ``timing``, ``simulation``) and files (``writer``).

A record is some 1.8 kB of which only a dozen values change from event to event. The rest is encoded once per device
into a template with one ``%s`` per changing value, in sorted key order as the vendor exports them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from analytics_assets.sample.journeys import SESSION_END, SESSION_START, Model
from analytics_assets.sample.population import Place

APP_ID: Final = 240077
"""Project number of the sample; invented."""
LIBRARY: Final = "synthetic-sample/1.0"

TIME_FIELDS: Final = (
    "client_event_time",
    "client_upload_time",
    "event_time",
    "processed_time",
    "server_received_time",
    "server_upload_time",
)

ALWAYS_NULL: Final = (
    "$insert_key",
    "$schema",
    "adid",
    "amplitude_attribution_ids",
    "amplitude_event_type",
    "device_brand",
    "device_carrier",
    "device_manufacturer",
    "device_model",
    "global_user_properties",
    "idfa",
    "is_attribution_event",
    "location_lat",
    "location_lng",
    "partner_id",
    "paying",
    "sample_rate",
    "source_id",
    "start_version",
    "user_creation_time",
    "version_name",
)
"""Fields the vendor keeps but no longer fills for web traffic."""

NO_DEVICE_TYPE: Final = ("Mac OS X", "iOS")
"""Device families whose ``device_type`` is always null."""

_INITIAL_KEYS: Final = (
    "dclid", "fbclid", "gbraid", "gclid", "ko_click_id", "li_fat_id", "msclkid", "referrer", "referring_domain",
    "rtd_cid", "ttclid", "twclid", "utm_campaign", "utm_content", "utm_id", "utm_medium", "utm_source", "utm_term",
    "wbraid",
)  # fmt: skip

# The order of these marks is the sorted order of the keys they stand for.
_VARIABLE_FIELDS: Final = (
    "$insert_id",
    "client_event_time",
    "client_upload_time",
    "data",
    "event_id",
    "event_properties",
    "event_time",
    "event_type",
    "processed_time",
    "server_received_time",
    "server_upload_time",
    "session_id",
    "uuid",
)
_QUOTED: Final = frozenset({"$insert_id", "uuid", *TIME_FIELDS})
_MARK: Final = "\x00"
"""Stands for a changing value while a template is made; it cannot occur in the sample's texts."""

MALFORMATIONS: Final = (
    "event_type_null",
    "event_type_missing",
    "times_unparsable",
    "times_missing",
    "not_an_object_number",
    "not_an_object_string",
)
"""Ways to spoil a record, used in turn. All remain well-formed JSON: a reader must refuse them, not stumble."""


def to_json(value: Any) -> str:
    """Compact JSON text, UTF-8 letters kept, keys sorted."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True)
class Actor:
    """What is constant over all records of one person on one device."""

    user_number: int
    user_id: str | None
    amplitude_id: int
    device_id: str
    place: Place
    family: str
    browser: str
    browser_version: str
    address: str


def _user_properties(actor: Actor) -> dict[str, Any]:
    """Properties of a user; the same key in two spellings is a quirk of real exports that readers must survive."""
    place = actor.place
    return {
        **{f"initial_{key}": "EMPTY" for key in _INITIAL_KEYS},
        "City": place.city,
        "Country": place.country,
        "Region": place.region,
        "city": place.city,
        "country": place.country,
        "isInternalUser": "False",
        "plan.tier": ["standard", "plus", "enterprise"][actor.user_number % 3],
        "region": place.region,
        "synthetic": True,
    }


def record_template(actor: Actor) -> str:
    """JSON text of a record with one ``%s`` per changing value.

    Parameters
    ----------
    actor : Actor

    Returns
    -------
    str
        To be filled by ``template % values`` with the values in sorted order of their fields.
    """
    mobile = actor.family in ("iOS", "Android")
    place = actor.place
    fields: dict[str, Any] = {
        **dict.fromkeys(ALWAYS_NULL),
        **dict.fromkeys(_VARIABLE_FIELDS, _MARK),
        "amplitude_id": actor.amplitude_id,
        "app": APP_ID,
        "city": place.city,
        "country": place.country,
        "data_type": "event",
        "device_family": actor.family,
        "device_id": actor.device_id,
        "device_type": None if actor.family in NO_DEVICE_TYPE else actor.family,
        "dma": place.dma,
        "group_properties": {},
        "groups": {},
        "ip_address": actor.address,
        "language": place.language,
        "library": LIBRARY,
        "os_name": actor.browser,
        "os_version": actor.browser_version,
        "plan": {},
        "platform": "Web",
        "region": place.region,
        "user_id": actor.user_id,
        "user_properties": {**_user_properties(actor), "viewport": "narrow" if mobile else "wide"},
    }
    text = to_json(fields).replace("%", "%%")
    mark = to_json(_MARK)
    for name in _VARIABLE_FIELDS:
        text = text.replace(f'"{name}":{mark}', f'"{name}":"%s"' if name in _QUOTED else f'"{name}":%s', 1)
    return text


def event_properties(model: Model) -> list[str]:
    """JSON text of ``event_properties`` by event code.

    Among them are what real properties hold: nested lists of objects, keys with spaces, dots and brackets, quotes and
    line breaks inside texts.

    Parameters
    ----------
    model : Model

    Returns
    -------
    list of str
    """
    out = []
    for name in model.event_types:
        if name in (SESSION_START, SESSION_END):
            out.append(to_json({"synthetic": True}))
            continue
        page, part, verb = name.split("::")
        properties: dict[str, Any] = {
            "[Amplitude] Page Domain": "workbench.example.com",
            "[Amplitude] Page Path": f"/{page}",
            "[Amplitude] Page Title": f"{page.capitalize()} | Workbench",
            "hostname": "None",
            "synthetic": True,
            "widget.name": part,
        }
        if verb == "submit":
            properties["changes"] = [{"field": part, "values": ["open", None, 3]}, {"field": "state", "values": []}]
            properties["Time To Complete"] = 12.5
        if page == "notes":
            properties["comment"] = 'Roof "2019", see survey;\nnext visit: 50 % done, ask the broker'
        if verb == "click":
            properties["[Amplitude] Element Text"] = f"{part.capitalize()} →"
        out.append(to_json(properties))
    return out


def event_data(first: bool) -> str:
    """JSON text of the field ``data``; the first event of a person carries a mark."""
    data: dict[str, Any] = {
        "group_first_event": {},
        "group_ids": {},
        "path": "/2/httpapi",
        "user_properties_updated": True,
    }
    return to_json({**data, "first_event": True} if first else data)


def uuid_digits(rng: np.random.Generator, n: int) -> NDArray[np.uint8]:
    """Bytes of `n` random UUIDs of version 4: uint8 (n, 16)."""
    raw = rng.integers(0, 256, size=(n, 16), dtype=np.uint8)
    raw[:, 6] = (raw[:, 6] & 0x0F) | 0x40
    raw[:, 8] = (raw[:, 8] & 0x3F) | 0x80
    return raw


def uuid_texts(raw: NDArray[np.uint8]) -> list[str]:
    """UUIDs as text, from bytes: uint8 (n, 16)."""
    digits = raw.tobytes().hex()
    texts = (digits[i : i + 32] for i in range(0, len(digits), 32))
    return [f"{t[:8]}-{t[8:12]}-{t[12:16]}-{t[16:20]}-{t[20:]}" for t in texts]


def time_texts(ms: NDArray[np.int64]) -> list[str]:
    """Times as the export spells them: ``YYYY-MM-DD HH:MM:SS.ffffff``, milliseconds padded to six digits.

    Parameters
    ----------
    ms : int64 (n,)
        Milliseconds since 1970-01-01 UTC.

    Returns
    -------
    list of str
    """
    text = np.datetime_as_string(ms.astype("datetime64[ms]"), unit="us")
    letters = text.view("U1").reshape(len(ms), -1)
    letters[:, 10] = " "
    return [str(t) for t in text.tolist()]


def spoil(record: str, malformation: str, uuid: str) -> str:
    """Turn a good record into one that a reader must refuse.

    Parameters
    ----------
    record : str
        JSON text of a valid record.
    malformation : str
        One of :data:`MALFORMATIONS`.
    uuid : str
        Identity of the spoiled record, so that it is nobody's duplicate.

    Returns
    -------
    str
        JSON text.
    """
    if malformation == "not_an_object_number":
        return "20240229"
    if malformation == "not_an_object_string":
        return to_json("session_start")
    fields: dict[str, Any] = json.loads(record)
    fields["uuid"] = uuid
    fields["$insert_id"] = uuid
    match malformation:
        case "event_type_null":
            fields["event_type"] = None
        case "event_type_missing":
            del fields["event_type"]
        case "times_unparsable":
            fields.update(dict.fromkeys(TIME_FIELDS, "yesterday, about noon"))
        case "times_missing":
            for name in TIME_FIELDS:
                del fields[name]
        case _:
            raise ValueError(f"unknown malformation {malformation!r}")
    return to_json(fields)
