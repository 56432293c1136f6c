"""``analytics demo``: every asset materialized, with a progress display and a summary at the end.

Put here: the order of runs and what a person sees. Keep out: what assets do.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from analytics_assets.cli import bucket
from analytics_assets.cli.environment import prepare_dagster_home
from analytics_assets.core.errors import PipelineError, explained_os_errors
from analytics_assets.core.files import read_json, replace_folder
from analytics_assets.core.lake import Lake
from analytics_assets.schemas import SUMMARY_TABLES

if TYPE_CHECKING:
    import dagster as dg

    from analytics_assets.sample.generator import SampleConfig

POLL_SECONDS = 0.5
"""Time between two looks at a run's event log."""

BASELINE_CHECKS = "beats_"
"""Beginning of the names of checks that compare a model with a baseline."""

DEMO_TAG = "analytics/demo"
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""Run configuration that leaves the terminal to the progress display; the event log still holds everything."""

console = Console()


@dataclass
class Outcome:
    """What became of all runs.

    Parameters
    ----------
    failures : list of str
        Steps and runs that failed, with their message.
    checks_passed : int
        Asset checks that passed.
    checks_failed, warnings : list of str
        Asset checks that did not, by severity.
    model_checks_failed : list of str
        Comparisons of models with baselines that are lost: a finding about the data, no fault of the run.
    """

    failures: list[str] = field(default_factory=list)
    checks_passed: int = 0
    checks_failed: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    model_checks_failed: list[str] = field(default_factory=list)

    @property
    def success(self) -> bool:
        """Whether every run succeeded and every check passed, warnings and models' comparisons aside."""
        return not self.failures and not self.checks_failed


@contextlib.contextmanager
def _bars() -> Iterator[Progress]:
    """Progress bars on a terminal; elsewhere nothing moves and lines are printed instead (see `_say`)."""
    columns = (TextColumn("{task.description:<34}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield progress


def _say(text: str) -> None:
    if not console.is_terminal:
        console.print(text, highlight=False)


def generate_sample(lake: Lake, config: SampleConfig) -> None:
    """Write synthetic exports with a progress display; ``raw/`` is replaced as a whole when they are complete.

    Raises
    ------
    PipelineError
        ``raw/`` holds files that were not generated: they are never mixed with synthetic ones.
    """
    from analytics_assets.sample.generator import write_sample

    if lake.raw().is_dir() and any(lake.raw().iterdir()) and not lake.is_synthetic():
        raise PipelineError(
            lake.raw(),
            "it holds files that are not generated sample data",
            "Put exports into a folder named by their year, such as raw/2024, or set ANALYTICS_DATA_DIR to another "
            "folder for sample data.",
        )
    staged = lake.staging() / "sample"
    shutil.rmtree(staged, ignore_errors=True)
    console.print(f"Generating about {config.events:,} synthetic events into {lake.raw()}", highlight=False)
    with _bars() as bars, explained_os_errors(lake.raw()):
        tasks: dict[str, Any] = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total)

        truth = write_sample(staged, config, report)
        replace_folder(staged, lake.raw())
    total = truth["total"]
    _say(f"  {total['records']:,} records written")


def run_demo(lake: Lake, events: int) -> int:
    """Materialize everything; return the exit code (0 only when all runs and checks are good)."""
    started = time.monotonic()
    bucket.fetch_exports(lake)
    if not lake.raw_years():
        from analytics_assets.sample.generator import SampleConfig

        generate_sample(lake, SampleConfig(events=events))
        bucket.push_exports(lake)
    outcome = materialize(lake, lake.raw_years())
    _print_summary(lake, outcome, time.monotonic() - started)
    return 0 if outcome.success else 1


def materialize(lake: Lake, years: list[str], *, only_published: bool = False) -> Outcome:
    """Run the yearly job for each year, then the models and reports, with a progress display.

    With `only_published`, summaries, models and reports that the lake does not hold are left out: new figures replace
    old ones, and nothing is computed that nobody asked for.
    """
    with explained_os_errors(lake.root):
        prepare_dagster_home(lake)
    import dagster as dg

    outcome = Outcome()
    with dg.DagsterInstance.get() as instance:
        for year in years:
            keys = [key for key in _keys("yearly_job") if not only_published or _stands(lake, year, key)]
            _run(instance, outcome, f"Year {year}", _steps("yearly_job", keys), partial(_yearly, instance, year, keys))
        keys = [key for key in _keys("models_job") if not only_published or _stands(lake, None, key)]
        if outcome.success and keys:
            launch = partial(_models, instance, keys)
            _run(instance, outcome, "Models and reports", _steps("models_job", keys), launch)
    return outcome


def _keys(job: str) -> list[dg.AssetKey]:
    """Assets that a job materializes."""
    from analytics_assets.definitions import defs

    return sorted(defs.resolve_job_def(job).asset_layer.executable_asset_keys)


def _steps(job: str, keys: list[dg.AssetKey]) -> int:
    from analytics_assets.definitions import defs

    return len(defs.resolve_job_def(job).get_subset(asset_selection=set(keys)).graph.node_dict)


def _stands(lake: Lake, year: str | None, key: dg.AssetKey) -> bool:
    """Whether an asset is to be computed anew: chunks and features always are, the others where they are published."""
    name = key.to_user_string()
    if year is not None:
        published = {table.name: lake.summary(year, table.name) for table in SUMMARY_TABLES}
        published["exploration_notebook"] = lake.notebook(year)
        return name not in published or published[name].is_file()
    reports = {"analysis_results": lake.analysis_results(), "figures": lake.figures() / "index.html"}
    return reports[name].is_file() if name in reports else lake.model(name).is_dir()


def _yearly(instance: dg.DagsterInstance, year: str, keys: list[dg.AssetKey], tags: dict[str, str]) -> bool:
    from analytics_assets.definitions import defs

    job = defs.resolve_job_def("yearly_job")
    result = job.execute_in_process(
        instance=instance,
        partition_key=year,
        asset_selection=keys,
        tags=tags,
        run_config=QUIET,
        raise_on_error=False,
    )
    return result.success


def models_job_definition() -> dg.JobDefinition:
    """The models job, as step processes rebuild it."""
    from analytics_assets.definitions import defs

    return defs.resolve_job_def("models_job")


def _models(instance: dg.DagsterInstance, keys: list[dg.AssetKey], tags: dict[str, str]) -> bool:
    """Run the models job with each model in a process of its own."""
    import dagster as dg

    job = dg.reconstructable(models_job_definition)
    with dg.execute_job(
        job, instance=instance, asset_selection=keys, tags=tags, run_config=QUIET, raise_on_error=False
    ) as result:
        return result.success


def _run(
    instance: dg.DagsterInstance, outcome: Outcome, title: str, steps: int, launch: Callable[[dict[str, str]], bool]
) -> None:
    """Launch one run in a thread of its own and follow its event log."""
    marker = uuid.uuid4().hex
    errors: list[BaseException] = []
    succeeded: list[bool] = []

    def work() -> None:
        try:
            succeeded.append(launch({DEMO_TAG: marker}))
        except BaseException as error:  # shown below, in the thread that the user sees
            errors.append(error)

    _say(title)
    with _bars() as bars:
        task = bars.add_task(title, total=steps)
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        follower = _Follower(instance, marker, outcome, lambda text: bars.update(task, advance=1, description=text))
        while thread.is_alive():
            thread.join(POLL_SECONDS)
            follower.read()
        follower.read()
        bars.update(task, description=title)
    if errors:
        raise errors[0]
    if not succeeded[0] and not outcome.failures:
        outcome.failures.append(f"{title}: the run failed; see the Dagster UI")


class _Follower:
    """Read a run's events as they come and note steps, failures and checks."""

    def __init__(
        self, instance: dg.DagsterInstance, marker: str, outcome: Outcome, advance: Callable[[str], None]
    ) -> None:
        self._instance, self._marker, self._outcome, self._advance = instance, marker, outcome, advance
        self._run_id: str | None = None
        self._cursor: str | None = None

    def read(self) -> None:
        import dagster as dg

        if self._run_id is None:
            runs = self._instance.get_runs(dg.RunsFilter(tags={DEMO_TAG: self._marker}), limit=1)
            if not runs:
                return
            self._run_id = runs[0].run_id
        while True:
            page = self._instance.get_records_for_run(self._run_id, self._cursor, limit=1000)
            self._cursor = page.cursor
            for record in page.records:
                event = record.event_log_entry.dagster_event
                if event is not None:
                    self._note(event)
            if not page.has_more:
                return

    def _note(self, event: dg.DagsterEvent) -> None:
        import dagster as dg

        kind = event.event_type
        if kind == dg.DagsterEventType.STEP_SUCCESS:
            seconds = event.step_success_data.duration_ms / 1000
            self._advance(f"{event.step_key}")
            _say(f"  {event.step_key}: done in {seconds:.1f} s")
        elif kind == dg.DagsterEventType.STEP_FAILURE:
            data = event.step_failure_data
            error = data.error.cause or data.error if data.error else None
            reason = data.user_failure_data.description if data.user_failure_data else error.message if error else ""
            self._outcome.failures.append(f"{event.step_key}: {reason.strip() if reason else 'see the Dagster UI'}")
        elif kind == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            evaluation = event.asset_check_evaluation_data
            name = f"{evaluation.asset_key.to_user_string()}: {evaluation.check_name}"
            if evaluation.passed:
                self._outcome.checks_passed += 1
            elif evaluation.severity != dg.AssetCheckSeverity.ERROR:
                self._outcome.warnings.append(name)
            elif evaluation.check_name.startswith(BASELINE_CHECKS):
                self._outcome.model_checks_failed.append(name)
            else:
                self._outcome.checks_failed.append(name)


def _print_summary(lake: Lake, outcome: Outcome, seconds: float) -> None:
    years = Table(title="Events by year" + (" (synthetic sample)" if lake.is_synthetic() else ""))
    for heading in ("year", "records seen", "loaded", "duplicates", "quarantined", "sessions", "actors"):
        years.add_column(heading, justify="left" if heading == "year" else "right")
    for year in lake.ingested_years():
        total = read_json(lake.manifest(year))["total"]
        identity = read_json(lake.quality(year))["identity"] if lake.quality(year).is_file() else {}
        counts = [total[name] for name in ("records_seen", "loaded", "duplicates", "quarantined")]
        counts += [identity.get("sessions", 0), identity.get("actors", 0)]
        years.add_row(year, *(f"{count:,}" for count in counts))
    console.print(years)
    if lake.analysis_results().is_file() and not outcome.failures:
        results = read_json(lake.analysis_results())
        models = Table(title="Models and headline figures")
        models.add_column("figure")
        models.add_column("value", justify="right")
        for label, value in _headlines(results):
            models.add_row(label, value)
        console.print(models)
    failed, warnings, lost = len(outcome.checks_failed), len(outcome.warnings), len(outcome.model_checks_failed)
    console.print(
        f"Checks: {outcome.checks_passed} passed, {failed} failed, {warnings} warnings"
        + (f", {lost} baselines not beaten" if lost else ""),
        highlight=False,
    )
    for heading, entries in (
        ("Failed", outcome.failures),
        ("Check failed", outcome.checks_failed),
        ("Baseline not beaten", outcome.model_checks_failed),
        ("Warning", outcome.warnings),
    ):
        for entry in entries:
            console.print(f"{heading}: {entry}", highlight=False, markup=False)
    console.print(f"Results: {lake.root} (figures in {lake.analysis_results()})", highlight=False, soft_wrap=True)
    console.print(
        f"Took {seconds:.0f} s. Next: make up, then open http://127.0.0.1:3000 and http://127.0.0.1:8501",
        highlight=False,
    )


def _headlines(results: dict[str, Any]) -> Iterator[tuple[str, str]]:
    wanted = (
        "events",
        "users",
        "sessions",
        "session_seconds_mean",
        "session_seconds_median",
        "event_session_seconds_mean",
    )
    for metric in results["metrics"]:
        if metric["name"] in wanted and metric["value"] is not None:
            value, unit = metric["value"], metric["unit"]
            yield metric["label"], f"{value:,} {unit}" if isinstance(value, int) else f"{value:,.3f} {unit}"
    models = results["models"]
    for label, name in (("most frequent event", "most_frequent"), ("repeating the last event", "repeat_last")):
        top1 = models.get("markov_chain", {}).get("baselines", {}).get(name, {}).get("top1")
        if top1 is not None:
            yield f"Next event, baseline {label}: top-1 accuracy", f"{top1:.3f}"
    for label, name in (
        ("Markov chain", "markov_chain"),
        ("hidden Markov model", "hidden_markov_model"),
        ("LSTM", "lstm_next_event"),
        ("XGBoost", "xgboost_next_event"),
    ):
        top1 = models.get(name, {}).get("top1")
        if top1 is not None:
            low, high = models[name]["interval"]["top1"]
            yield f"Next event, {label}: top-1 accuracy (95 % interval)", f"{top1:.3f} ({low:.3f} to {high:.3f})"
    ceiling = models.get("next_event_leaderboard", {}).get("ceiling")
    if ceiling:
        yield "Next event, best possible on this data: top-1 accuracy", f"{ceiling['top1']:.3f}"
    kmeans = models.get("kmeans_segments", {})
    if kmeans:
        yield "KMeans: segments", str(kmeans["segments"])
        if kmeans["silhouette"] is not None:
            yield (
                "KMeans: silhouette (shuffled data)",
                f"{kmeans['silhouette']:.3f} ({kmeans['shuffled_silhouette']:.3f})",
            )
        if kmeans["adjusted_rand_index"] is not None:
            yield "KMeans: agreement with true personas (adjusted Rand index)", f"{kmeans['adjusted_rand_index']:.3f}"
    yield from _forecast_headlines(models)


def _forecast_headlines(models: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The best forecast of daily events at its longest horizon, and how often outcomes were inside its interval."""
    found = models.get("forecast_leaderboard", {}).get("best", {}).get("events")
    if not found:
        return
    what = f"Daily events {found['horizon']} days ahead, best forecast ({found['model']})"
    if found["relative_mae"] is not None:
        yield f"{what}: error against repeating last week", f"{found['relative_mae']:.3f}"
    if found["coverage95"] is not None:
        yield f"{what}: share inside the 95 % interval", f"{found['coverage95']:.3f}"
