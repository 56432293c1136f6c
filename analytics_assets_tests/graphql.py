"""The interface that the Dagster UI uses: launch, watch and repeat runs through a real web server."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

import pytest

from analytics_assets_tests.browser import wait_for

RUN_SECONDS = 900
"""Longest wait for a run or a backfill to end."""

SENSOR = """
query Sensor($selector: SensorSelector!) { sensorOrError(sensorSelector: $selector) { ... on Sensor { id } } }
"""
STOP_SENSOR = "mutation Stop($id: String!) { stopSensor(id: $id) { __typename } }"
LAUNCH_BACKFILL = """
mutation Launch($backfill: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $backfill) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}
"""
BACKFILL_STATUS = """
query Backfill($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } } }
"""
RERUN = """
mutation Rerun($run: String!) {
  launchRunReexecution(reexecutionParams: { parentRunId: $run, strategy: FROM_FAILURE }) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""
RUN_STATUS = "query Run($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
PARTITIONS = """
query Partitions($key: AssetKeyInput!) {
  assetNodeOrError(assetKey: $key) {
    ... on AssetNode { assetPartitionStatuses { ... on TimePartitionStatuses { ranges { status startKey endKey } } } }
  }
}
"""
CHECKS = """
query Checks($key: AssetKeyInput!, $name: String!) {
  assetCheckExecutions(assetKey: $key, checkName: $name, limit: 20) {
    status runId evaluation { success metadataEntries { label } }
  }
}
"""


@dataclass(frozen=True)
class Interface:
    """A web server's GraphQL endpoint."""

    address: str

    def ask(self, query: str, **variables: Any) -> Any:
        """Answer of a query; any error fails the test."""
        request = urllib.request.Request(
            f"{self.address}/graphql",
            json.dumps({"query": query, "variables": variables}).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                content = json.load(answer)
        except urllib.error.HTTPError as failure:
            pytest.fail(failure.read().decode())
        assert "errors" not in content, content
        return content["data"]

    def stop_sensor(self, name: str) -> None:
        """Turn a sensor off, as its switch in the UI does."""
        selector = {
            "repositoryLocationName": "analytics_assets",
            "repositoryName": "__repository__",
            "sensorName": name,
        }
        sensor = self.ask(SENSOR, selector=selector)["sensorOrError"]
        assert self.ask(STOP_SENSOR, id=sensor["id"])["stopSensor"]["__typename"] == "StopSensorMutationResult"

    def launch_backfill(self, assets: list[str], years: list[str]) -> str:
        """Start what the UI's dialog starts; return its id."""
        wanted = {
            "assetSelection": [{"path": [name]} for name in assets],
            "partitionNames": years,
            "fromFailure": False,
        }
        launched = self.ask(LAUNCH_BACKFILL, backfill=wanted)["launchPartitionBackfill"]
        assert launched["__typename"] == "LaunchBackfillSuccess", launched
        return str(launched["backfillId"])

    def repeat_from_failure(self, run_id: str) -> str:
        """*Re-execute from failure*; return the id of the new run."""
        launched = self.ask(RERUN, run=run_id)["launchRunReexecution"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        return str(launched["run"]["runId"])

    def end_of_run(self, run_id: str) -> str:
        """Status with which a run ended."""
        return self._end(RUN_STATUS, run_id, "runOrError", {"SUCCESS", "FAILURE", "CANCELED"})

    def end_of_backfill(self, backfill_id: str) -> str:
        """Status with which a backfill ended."""
        ends = {"COMPLETED", "COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED", "CANCELED"}
        return self._end(BACKFILL_STATUS, backfill_id, "partitionBackfillOrError", ends)

    def _end(self, query: str, number: str, answer: str, ends: set[str]) -> str:
        status: list[str] = []

        def over() -> bool:
            status[:] = [self.ask(query, id=number)[answer]["status"]]
            return status[0] in ends

        wait_for(over, f"the end of {number}", RUN_SECONDS)
        return status[0]

    def years(self, asset: str, status: str) -> set[str]:
        """Years of an asset that the UI paints as ``MATERIALIZED`` or ``FAILED``."""
        node = self.ask(PARTITIONS, key={"path": [asset]})["assetNodeOrError"]
        ranges = [found for found in node["assetPartitionStatuses"]["ranges"] if found["status"] == status]
        return {
            str(year) for found in ranges for year in range(int(found["startKey"][:4]), int(found["endKey"][:4]) + 1)
        }

    def checks(self, asset: str, name: str) -> dict[str, Any]:
        """Evaluated results of a check by run."""
        found = self.ask(CHECKS, key={"path": [asset]}, name=name)["assetCheckExecutions"]
        return {execution["runId"]: execution for execution in found if execution["evaluation"]}
