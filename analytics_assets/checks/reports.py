"""Checks of what people open: notebooks and figure files.

Put here: how those judgements are shown. Keep out: making the files (``core/reports``), ``analysis_results.json``
(``results.py``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import dagster as dg

NOTEBOOK_CHECK = "key_figures_agree"
FIGURES_CHECK = "figures_need_no_network"


def notebook_check_specs() -> list[dg.AssetCheckSpec]:
    """The check of a year's notebook."""
    return [
        dg.AssetCheckSpec(
            NOTEBOOK_CHECK,
            asset="exploration_notebook",
            description="Events, actors, users and sessions that the notebook counted equal those of data_quality.",
        )
    ]


def check_key_figures(found: Mapping[str, Any], quality: Mapping[str, Any]) -> dg.AssetCheckResult:
    """Name the figures of a notebook that differ from the quality report."""
    expected = {
        "events": quality["time"]["events"],
        **{name: quality["identity"][name] for name in ("actors", "users", "sessions")},
    }
    differing = {
        name: {"expected": value, "actual": found.get(name)}
        for name, value in expected.items()
        if found.get(name) != value
    }
    return dg.AssetCheckResult(
        asset_key="exploration_notebook",
        check_name=NOTEBOOK_CHECK,
        passed=not differing,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={"compared": len(expected), "differing": differing},
    )


def figures_check_specs() -> list[dg.AssetCheckSpec]:
    """The check of the figure files."""
    return [
        dg.AssetCheckSpec(
            FIGURES_CHECK,
            asset="figures",
            description="No page refers to an address outside its folder, so that all open without a network.",
        )
    ]


def check_no_network(pages: int, addresses: Mapping[str, Collection[str]]) -> dg.AssetCheckResult:
    """Name the pages that refer to an address."""
    return dg.AssetCheckResult(
        asset_key="figures",
        check_name=FIGURES_CHECK,
        passed=not addresses,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={"pages": pages, "addresses": {name: sorted(found) for name, found in addresses.items()}},
    )
