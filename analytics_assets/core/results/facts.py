"""What the rules of findings read and make.

Put here: the types. Keep out: the rules (``rules_data.py``, ``rules_behaviour.py``) and their ranking
(``findings.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from analytics_assets.core.results.evidence import Evidence

COUNTED = "counted over all rows, no sample"
"""Test of a comparison of two exact figures of the same rows."""


@dataclass(frozen=True)
class Named:
    """One number of a finding."""

    name: str
    value: float
    unit: str


@dataclass(frozen=True)
class Finding:
    """One finding.

    Parameters
    ----------
    kind : str
        Name of the rule.
    title, text : str
        For people.
    figure, comparison : Named
        What was found, and what it is compared with.
    effect : float
        See the module's docstring.
    n : int
        Observations that it rests on.
    observations : str
        What one observation is.
    test : str
        The test that it passed.
    source : str
        Asset that the figure comes from.
    years : list of str
        Years that it covers.
    """

    kind: str
    title: str
    text: str
    figure: Named
    comparison: Named
    effect: float
    n: int
    observations: str
    test: str
    source: str
    years: list[str]


@dataclass(frozen=True)
class Facts:
    """What the rules read.

    Parameters
    ----------
    years : sequence of str
        Delivery years.
    metrics : dict
        Published metrics by name.
    lists : dict
        Published lists by name.
    evidence : dict
        See ``evidence.gather``.
    quality : dict
        Quality figures by year.
    top_actor_limit : float
        Relative change of a figure from which the most active actor is worth a finding.
    """

    years: Sequence[str]
    metrics: dict[str, dict[str, Any]]
    lists: dict[str, list[dict[str, Any]]]
    evidence: Evidence
    quality: dict[str, dict[str, Any]]
    top_actor_limit: float

    def value(self, name: str) -> Any:
        """Value of a metric over all rows."""
        return self.metrics[name]["value"]


Found = Iterator[Finding]
"""What a rule makes: one finding or none."""
