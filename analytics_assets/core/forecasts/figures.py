"""Pictures of forecasts.

Put here: history with forecast, components, coverage. Keep out: what they show (`forecasting.py`), what all pictures
share (``core/models/drawing.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from analytics_assets.core.forecasts.conformal import LEVELS
from analytics_assets.core.forecasts.forecasting import SeriesForecast
from analytics_assets.core.models.drawing import PALETTE, canvas, png

SHOWN_SEASONS = 17
"""Seasons of history beside a forecast: about four months of days, enough to see the season and the level."""


def pictures(found: SeriesForecast, rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, bytes]:
    """PNG by file name: ``<metric>.png`` and, where there are components, ``<metric>_components.png``."""
    drawn: dict[str, bytes] = {}
    if not np.isnan(found.series.values).all():
        drawn[f"{found.series.metric}.png"] = forecast_picture(found)
    if rows.get("components"):
        drawn[f"{found.series.metric}_components.png"] = components_picture(found, rows["components"])
    return drawn


def forecast_picture(found: SeriesForecast) -> bytes:
    """The last seasons, the forecast with its bands, and what the last backtest said."""
    series, steps = found.series, len(found.prediction.mean)
    first = max(0, len(series) - SHOWN_SEASONS * (series.season if series.frequency == "D" else 24))
    past, ahead = series.times(first, len(series)), series.times(len(series), len(series) + steps)
    with canvas(8.0, 3.6) as (figure, axes):
        axes.plot(past, series.values[first:], color=PALETTE[6], linewidth=1.0, label="history")
        for level, (low, high), shade in zip(LEVELS, found.bands, (0.35, 0.18), strict=True):
            axes.fill_between(
                ahead, low, high, color=PALETTE[0], alpha=shade, linewidth=0, label=f"{level:.0%} interval"
            )
        axes.plot(ahead, found.prediction.mean, color=PALETTE[0], linestyle="--", label="forecast")
        if found.origins:
            last = found.origins[-1]
            axes.plot(last.times, last.prediction.mean, color=PALETTE[1], linewidth=1.0, label="forecast made then")
        axes.axvline(ahead[0], color="0.5", linewidth=0.8)
        axes.set_ylim(bottom=0)
        axes.set_ylabel(series.unit)
        kind = f"{found.model}: {found.reason}" if found.reason else found.model
        axes.set_title(f"{series.metric} ({kind})", fontsize=10)
        axes.legend(fontsize=7, ncols=3, loc="upper left")
        axes.tick_params(labelsize=8)
        return png(figure)


def components_picture(found: SeriesForecast, rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Each component over its last seasons; the trend over everything."""
    names = list(dict.fromkeys(row["component"] for row in rows))
    with canvas(8.0, 1.6 * len(names)) as (figure, axes):
        axes.remove()
        for place, name in enumerate(names):
            own = [row for row in rows if row["component"] == name]
            shown = own if name in ("trend", "yearly") else own[-4 * found.series.season :]
            panel = figure.add_subplot(len(names), 1, place + 1)
            panel.plot([row["time"] for row in shown], [row["value"] for row in shown], color=PALETTE[place])
            panel.set_ylabel(name, fontsize=8)
            panel.tick_params(labelsize=7)
        figure.suptitle(f"{found.series.metric}: components on the {found.scale.name} scale", fontsize=10)
        return png(figure)


def coverage_picture(found: Sequence[SeriesForecast]) -> dict[str, bytes]:
    """``coverage.png``: share of outcomes inside each interval by metric; nothing where nothing was judged."""
    judged = [one for one in found if one.origins]
    if not judged:
        return {}
    with canvas(8.0, 3.2) as (figure, axes):
        for place, (kind, offset) in enumerate((("native", -0.15), ("calibrated", 0.15))):
            for number, level in enumerate(LEVELS):
                shares = [_coverage(one, kind, number) for one in judged]
                axes.scatter(
                    np.arange(len(judged)) + offset,
                    shares,
                    marker="os"[number],
                    color=PALETTE[place],
                    label=f"{level:.0%}, {kind}",
                )
        for level in LEVELS:
            axes.axhline(level, color="0.6", linewidth=0.8, linestyle=":")
        axes.set_xticks(range(len(judged)), [one.series.metric for one in judged], fontsize=8)
        axes.set_ylim(0, 1.02)
        axes.set_ylabel("share inside the interval")
        axes.set_title("Coverage in the backtest", fontsize=10)
        axes.legend(fontsize=7, ncols=4, loc="lower center")
        return {"coverage.png": png(figure)}


def _coverage(one: SeriesForecast, kind: str, number: int) -> float:
    judged = [origin for origin in one.origins if origin.judged]
    actual = np.concatenate([origin.actual for origin in judged])
    low, high = (np.concatenate([getattr(origin, kind)[number][end] for origin in judged]) for end in (0, 1))
    there = ~(np.isnan(actual) | np.isnan(low))
    return float(((actual >= low) & (actual <= high))[there].mean()) if there.any() else float("nan")
