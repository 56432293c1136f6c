"""What the events of a product mean: settings from ``analytics.toml``.

Put here: reading, defaults and validation of that file. Keep out: settings of machines and services, which are
environment variables (``docs/configuration.md``). The shipped ``deploy/analytics.toml`` holds every default.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from analytics_assets.core.errors import PipelineError
from analytics_assets.core.lake import Lake

SETTINGS_VARIABLE = "ANALYTICS_SETTINGS"

CleaningStep = Literal[
    "exact_duplicates",
    "rows_without_actor",
    "rows_without_user",
    "single_event_sessions",
    "session_end_only_sessions",
    "mobile_rows",
    "zscore_outliers",
    "iqr_outliers",
]
"""Steps that remove rows, in the order in which they run."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EventSettings(_Section):
    """Which events are noise, which screen an event belongs to."""

    noise_suffixes: tuple[str, ...]
    noise_events: tuple[str, ...]
    session_end_events: tuple[str, ...]
    screen_separator: str = Field(min_length=1)
    screen_parts: int = Field(ge=1)
    burst_milliseconds: float = Field(ge=0)


class ActorSettings(_Section):
    """Which actors are machines, and when one actor owns a figure."""

    scripted_quantile: float = Field(gt=0, lt=1)
    scripted_min_sessions: int = Field(ge=1)
    scripted_max_entropy_bits: float = Field(ge=0)
    top_actor_limit: float = Field(gt=0, lt=1)


class CleaningSettings(_Section):
    """Which rows clean_events leaves out."""

    profile: str
    z_limit: float = Field(gt=0)
    iqr_factor: float = Field(gt=0)
    mobile_platforms: tuple[str, ...]
    mobile_device_families: tuple[str, ...]
    profiles: Mapping[str, tuple[CleaningStep, ...]]

    @model_validator(mode="after")
    def _known_profile(self) -> Self:
        if self.profile not in self.profiles:
            raise ValueError(f"profile {self.profile!r} is not one of {', '.join(sorted(self.profiles))}")
        return self

    @property
    def steps(self) -> tuple[CleaningStep, ...]:
        """Steps of the chosen profile."""
        return self.profiles[self.profile]


class FunnelSettings(_Section):
    """One funnel: its steps must happen strictly one after the other."""

    name: str = Field(min_length=1)
    steps: tuple[str, ...] = Field(min_length=2, max_length=20)
    scope: Literal["session", "actor"] = "session"
    window_minutes: float = Field(default=60, gt=0)


class FunnelDiscoverySettings(_Section):
    """How many funnels are found in the data, and how long they are."""

    count: int = Field(ge=0, le=50)
    steps: int = Field(ge=2, le=5)
    window_minutes: float = Field(gt=0)


class QualitySettings(_Section):
    """Limits of a year's quality figures."""

    max_null_share: float = Field(ge=0, le=1)
    optional_columns: tuple[str, ...]
    max_outside_year_share: float = Field(ge=0, le=1)
    max_skewed_clock_share: float = Field(ge=0, le=1)
    max_late_share: float = Field(ge=0, le=1)
    max_without_actor_share: float = Field(ge=0, le=1)
    max_outlier_share: float = Field(ge=0, le=1)
    max_imbalance_share: float = Field(ge=0, le=1)
    max_psi: float = Field(gt=0)
    max_js: float = Field(gt=0, le=1)
    max_age_days: float = Field(gt=0)


class Settings(_Section):
    """Everything that ``analytics.toml`` may say."""

    events: EventSettings
    actors: ActorSettings
    cleaning: CleaningSettings
    funnels: tuple[FunnelSettings, ...] = ()
    funnel_discovery: FunnelDiscoverySettings
    quality: QualitySettings

    @model_validator(mode="after")
    def _distinct_funnels(self) -> Self:
        names = [funnel.name for funnel in self.funnels]
        if len(set(names)) < len(names):
            raise ValueError("two funnels have the same name")
        return self


def _merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    both = {name: _merged(base[name], own[name]) for name in base.keys() & own.keys() if _are_tables(base, own, name)}
    return {**base, **own, **both}


def _are_tables(base: Mapping[str, Any], own: Mapping[str, Any], name: str) -> bool:
    return isinstance(base[name], dict) and isinstance(own[name], dict)


def default_settings() -> Settings:
    """The shipped settings."""
    return Settings.model_validate(_shipped())


def _shipped() -> dict[str, Any]:
    return tomllib.loads(files("analytics_assets.deploy").joinpath("analytics.toml").read_text(encoding="utf-8"))


def load_settings(lake: Lake) -> Settings:
    """Settings of a lake: the shipped ones with what its own file changes.

    Parameters
    ----------
    lake : Lake
        The file is the one that ``ANALYTICS_SETTINGS`` names, else ``analytics.toml`` in the lake's root, if any.

    Raises
    ------
    PipelineError
        The file that the environment names is missing, or it is not TOML, or it holds an unknown name or a bad value.
    """
    named = os.environ.get(SETTINGS_VARIABLE)
    path = Path(named).expanduser() if named else lake.settings()
    if not path.is_file():
        if named:
            raise PipelineError(path, "there is no such file", f"Correct {SETTINGS_VARIABLE} or unset it.")
        return default_settings()
    try:
        own = tomllib.loads(path.read_text(encoding="utf-8"))
        return Settings.model_validate(_merged(_shipped(), own))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PipelineError(path, f"it is not TOML: {error}", "Correct the file.") from error
    except ValidationError as error:
        facts = "; ".join(
            f"{'.'.join(str(part) for part in found['loc'])}: {found['msg']}".lstrip(": ") for found in error.errors()
        )
        raise PipelineError(path, facts, "Correct the file; deploy/analytics.toml shows every setting.") from error
