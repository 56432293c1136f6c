"""What a fitted forecaster is and gives.

Put here: the interface that models, baselines and fallbacks share. Keep out: any of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from analytics_assets.core.forecasts.series import Floats


@dataclass(frozen=True)
class Prediction:
    """Forecast of the steps after the end of a series.

    Parameters
    ----------
    mean : float64 (h,)
        Expected values.
    centre, spread : float64 (h,)
        Median and standard deviation on the scale of the model: the native, uncalibrated predictive distribution.
    """

    mean: Floats
    centre: Floats
    spread: Floats


class Fitted(Protocol):
    """A forecaster fitted to a series."""

    def predict(self, steps: int) -> Prediction:
        """Forecast the next `steps` steps."""
        ...
