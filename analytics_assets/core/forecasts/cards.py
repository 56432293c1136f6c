"""The card of a forecasting model.

Put here: the text of its ``card.md``. Keep out: the figures in it.
"""

from __future__ import annotations

from typing import Any


def forecast_card(title: str, metrics: dict[str, Any]) -> str:
    """What the model forecasts, how good it was per metric, and where it ends; from its ``metrics.json``."""
    lines = [f"# {title}", ""]
    lines += [
        "Settings were chosen on the earlier cuts of a rolling-origin backtest and judged on the later ones; no fit "
        "saw anything after its cut. Intervals are calibrated on the errors of cuts before (split conformal).",
        "",
        "| metric | model | horizon | MAE | against seasonal naive | MASE | inside 80 % | inside 95 % |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for metric, found in metrics["metrics"].items():
        if found["fallback_reason"]:
            lines.append(f"| {metric} | {found['used']}, because {found['fallback_reason']} | | | | | | |")
        for row in found["horizons"][-1:]:
            lines.append(
                f"| {metric} ({found['unit']}) | {found.get('model') or found['used']}, {found['scale']} scale | "
                f"1 to {row['horizon']} {row['step']}s | {row['mae']:.4g} | {_share(row['relative_mae'])} | "
                f"{_plain(row['mase'])} | {_share(row['coverage80'])} | {_share(row['coverage95'])} |"
            )
    years = ", ".join(metrics["input_years"])
    lines += [
        "",
        f"- Learned from {years}; days of years that were not delivered are unknown, not 0; the last day is left out "
        "while it is still filling up.",
        "- A yearly season is used only where two years come before the first cut that is judged.",
        "- Limits: intervals hold as long as the future errs like the past year; beyond the horizon that the data "
        "allow to judge, means are given without intervals; a new product, campaign or outage is in no forecast.",
        "- All horizons, candidates, seeds and library versions: metrics.json. Times: cost.json.",
    ]
    return "\n".join(lines) + "\n"


def _share(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.1%}"


def _plain(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.3f}"
