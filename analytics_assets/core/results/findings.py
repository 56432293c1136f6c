"""Ranked plain-language findings from the published figures.

Put here: the ranking. Keep out: the rules (``rules_data.py``, ``rules_behaviour.py``), computing figures
(``figures.py``, ``lists.py``, ``evidence.py``) and formulas (``significance.py``).

A finding compares one figure with another. It is shown when it has enough observations, passes the test it names and
its effect is not tiny; findings are ranked by effect, at most `MAX_FINDINGS` of them. The effect is Cohen's h for two
shares and the absolute log ratio for two amounts, both from 0 to pi. Findings describe; none says why.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from analytics_assets.core.results.facts import Facts
from analytics_assets.core.results.rules_behaviour import BEHAVIOUR_RULES
from analytics_assets.core.results.rules_data import DATA_RULES
from analytics_assets.core.results.significance import MIN_EFFECT, MIN_SUPPORT

MAX_FINDINGS = 12
"""Findings shown: more is not a short list."""


def findings(facts: Facts) -> list[dict[str, Any]]:
    """The strongest findings, ranked from 1; of equal effects the earlier rule's comes first."""
    made = [found for rule in (*DATA_RULES, *BEHAVIOUR_RULES) for found in rule(facts)]
    shown = [found for found in made if found.n >= MIN_SUPPORT and found.effect >= MIN_EFFECT]
    shown.sort(key=lambda found: -found.effect)
    return [{"rank": rank, **asdict(found)} for rank, found in enumerate(shown[:MAX_FINDINGS], 1)]
