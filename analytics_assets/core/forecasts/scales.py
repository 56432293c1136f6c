"""Scales on which models see a series: its effects add up and its spread is even there, and forecasts stay above 0.

Put here: the scales. Keep out: the choice between them (`scale_choice.py`), models.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from analytics_assets.core.forecasts.series import Floats

ScaleName = Literal["log", "sqrt"]

MAX_CORRECTION = 4.0
"""Largest factor between mean and back-transformed centre: more means that the fit failed, not that it is skewed."""


@dataclass(frozen=True)
class Scale:
    """``log``: log(1 + y), for effects that multiply. ``sqrt``: the variance-stabilizing scale of counts."""

    name: ScaleName

    def forward(self, values: Floats) -> Floats:
        """Values on the scale; NaN stays NaN.

        A mean latency below 0, from devices whose clocks are ahead, counts as 0: neither scale knows it.
        """
        above = np.maximum(values, 0.0)
        return np.log1p(above) if self.name == "log" else np.sqrt(above)

    def back(self, scaled: Floats) -> Floats:
        """Values of the series, never below 0."""
        if self.name == "log":
            return np.expm1(np.clip(scaled, 0.0, 700.0))
        return np.square(np.maximum(scaled, 0.0))

    def correction(self, values: Floats, fitted: Floats) -> float:
        """Factor from back-transformed centres to means: the ratio estimator of Snowdon (1991), sum of the values over
        sum of the back-transformed fit. It needs no normality, as the textbook exp(variance / 2) does.
        """
        known = ~(np.isnan(values) | np.isnan(fitted))
        total = float(self.back(fitted[known]).sum())
        if total <= 0:
            return 1.0
        return float(np.clip(values[known].sum() / total, 1 / MAX_CORRECTION, MAX_CORRECTION))
