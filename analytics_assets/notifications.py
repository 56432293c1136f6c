"""Messages about failed runs.

Put here: what a message says and how it is posted. Keep out: when (``sensors.py``).
"""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from typing import Any

import dagster as dg

from analytics_assets.automation import PARTITION_TAG

WEBHOOK_VARIABLE = "ANALYTICS_WEBHOOK_URL"
"""Where failed runs are posted; it may hold a token, so it is never printed."""

UI_VARIABLE = "ANALYTICS_UI_URL"
"""Address of the Dagster UI as its readers see it, for links."""

TIMEOUT_SECONDS, ATTEMPTS, PAUSE_SECONDS = 10, 3, 2.0
"""A message is worth some patience, but a sensor that takes a minute is ended by the daemon."""

CUT = 2_000
"""Characters of one failure: chat programs cut longer messages, or refuse them."""


def failure_message(context: dg.RunFailureSensorContext) -> dict[str, Any]:
    """Job, year, failed steps with place and remedy, and the run's address, as JSON that chat programs understand.

    ``text`` says it all for people; the other keys say it for programs.
    """
    run = context.dagster_run
    year = run.tags.get(PARTITION_TAG)
    steps = []
    for event in context.get_step_failure_events():
        data = event.step_failure_data
        failure = data.user_failure_data
        error = data.error.cause or data.error if data.error else None
        text = failure.description if failure else error.message if error else event.message
        steps.append({"step": event.step_key, "error": (text or "").strip()[:CUT]})
    base = os.environ.get(UI_VARIABLE) or f"http://127.0.0.1:{os.environ.get('ANALYTICS_DAGSTER_PORT', '3000')}"
    address = f"{base.rstrip('/')}/runs/{run.run_id}"
    title = f"{run.job_name}{f' of {year}' if year else ''} failed"
    reasons = [f"{step['step']}: {step['error']}" for step in steps] or [context.failure_event.message or ""]
    return {
        "text": "\n".join([title, *reasons, address]),
        "job": run.job_name,
        "year": year,
        "run_id": run.run_id,
        "steps": steps,
        "address": address,
    }


def send(address: str, message: dict[str, Any]) -> None:
    """Post a message as JSON.

    Raises
    ------
    RuntimeError
        Nobody accepted it in `ATTEMPTS`; the address is not named.
    """
    request = urllib.request.Request(address, json.dumps(message).encode(), {"Content-Type": "application/json"})
    reason = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(PAUSE_SECONDS)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS):
                return
        except urllib.error.HTTPError as error:
            reason = f"it answered {error.code}"
        except (urllib.error.URLError, OSError) as error:
            reason = f"it cannot be reached ({type(error).__name__})"
    raise RuntimeError(f"The webhook of {WEBHOOK_VARIABLE} did not take the message: {reason}.")
