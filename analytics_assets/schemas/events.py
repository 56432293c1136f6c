"""The event chunks, and the texts that mean no value in them.

Put here: the 30 columns of the chunks. Keep out: tables made from them.
"""

from __future__ import annotations

from analytics_assets.schemas.columns import Column, Table, text, time

MAX_CHUNK_ROWS = 100_000
"""Records per CSV chunk: the size the rest of the pipeline and its memory figures are planned for."""

NULL_MARK = r"\N"
"""How a null is written in the CSV chunks. A record whose text equals it is quarantined, so it is never ambiguous."""

SENTINEL_IDS: frozenset[str] = frozenset(
    "anonymous nil none null n/a na undefined unknown {} [] 0 -1 00000000-0000-0000-0000-000000000000".split()
)
"""Ids, in small letters, that stand for nobody: the vendor refuses them by default, exports still hold them."""

NO_SESSION = -1
"""``session_id`` of an event outside any session."""


EVENT_CHUNKS = Table(
    "event_chunks",
    "Essential columns of every accepted event, one row each, names and meanings as in the Amplitude export.",
    (
        text("uuid", "Identity of the event; derived from the content where the source has none.", nullable=False),
        text("$insert_id", "Client's deduplication key."),
        Column("app", "int64", "Project id."),
        Column("amplitude_id", "int64", "Person id after identity merge."),
        text("user_id", "Login id given by the product.", tokens=True, personal=True),
        text("device_id", "Device id.", tokens=True, personal=True),
        Column(
            "session_id", "int64", "Session start in epoch milliseconds, -1 outside a session; not unique over users."
        ),
        Column("event_id", "int64", "Per-device counter; breaks ties of equal times."),
        text("event_type", "Name of the event.", nullable=False),
        time("event_time", "Time of the event, corrected for the device clock."),
        time("client_event_time", "Time of the event by the device clock."),
        time("client_upload_time", "Upload by the device clock."),
        time("server_received_time", "Receipt by the server clock."),
        time("server_upload_time", "Upload by the server clock; exports are cut by it."),
        time("processed_time", "End of the vendor's processing."),
        text("platform", "Web, iOS, Android.", tokens=True),
        text("os_name", "Browser on the web, operating system on mobile.", tokens=True),
        text("os_version", "Version of os_name as text.", tokens=True),
        text("device_family", "Operating system on the web, device on mobile.", tokens=True),
        text("device_type", "Kind of device; structurally null for some families.", tokens=True),
        text("country", "Country from the IP address.", tokens=True),
        text("region", "Region from the IP address.", tokens=True),
        text("city", "City from the IP address.", tokens=True),
        text("dma", "US designated market area.", tokens=True),
        text("language", "Language name.", tokens=True),
        text("library", "Sending library and version.", tokens=True),
        text("version_name", "Version of the product.", tokens=True),
        text("ip_address", "IP address.", tokens=True, personal=True),
        text("event_properties", "Properties of the event as JSON text."),
        text("user_properties", "Properties of the user as JSON text."),
    ),
    key=("uuid",),
)

NESTED_COLUMNS = ("event_properties", "user_properties")
"""Columns of ``EVENT_CHUNKS`` that hold JSON text."""

PERSONAL_COLUMNS = tuple(column.name for column in EVENT_CHUNKS.columns if column.personal)
"""Columns of ``EVENT_CHUNKS`` that are pseudonymized. Of the other fields that identify a person, ``location_lat``,
``location_lng``, ``adid`` and ``idfa`` are not carried into the chunks at all."""
