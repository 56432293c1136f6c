"""Page "Runs and cost" of the transparency app: how long every summary and model took, and how much memory.

Put here: the order and wording of this page. Keep out: measuring (``core/summaries/measuring.py``, the model assets).
"""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from analytics_assets.core.lake import Lake
from dashboards import components, text
from dashboards.charts import base
from dashboards.components import Tile
from dashboards.data import LakeFileError
from dashboards.processing import parts, reading
from dashboards.processing.parts import NUMBER
from dashboards.processing.reading import LogLine

MODELS = (
    "markov_chain",
    "hidden_markov_model",
    "lstm_next_event",
    "xgboost_next_event",
    "prophet_forecast",
    "arima_forecast",
)
"""Models that write what their training cost."""

MEMORY = {
    "jvm_heap_peak_mb": "Peak of Spark's heap",
    "jvm_rss_mb": "Resident memory of Spark",
    "python_rss_mb": "Resident memory of Python",
}


@dataclass(frozen=True)
class SparkRun:
    """One run of the Spark summaries of one year.

    Parameters
    ----------
    begin : dict
        Its first line.
    pieces : list of dict
        Lines of shared frames and summaries.
    end : dict, optional
        Its last line; None for a run that did not get there.
    """

    begin: LogLine
    pieces: list[LogLine]
    end: LogLine | None

    @property
    def name(self) -> str:
        """When it began."""
        return self.begin["time"]

    def total(self, figure: str) -> float:
        """Sum of a figure over its pieces."""
        return sum(number(line, figure) or 0 for line in self.pieces)

    def largest(self, figure: str) -> float:
        """Largest value of a figure over its pieces."""
        return max((number(line, figure) or 0 for line in self.pieces), default=0)


def number(line: LogLine, figure: str) -> float | None:
    """A figure of a log line; None where the line has none or something else."""
    try:
        return float(line.get(figure, ""))
    except ValueError:
        return None


def spark_runs(lines: list[LogLine], year: str) -> list[SparkRun]:
    """Runs of one year, the latest first; lines before the first beginning are left out."""
    runs: list[SparkRun] = []
    for line in lines:
        if line["year"] != year:
            continue
        if line.get("run") == "begin":
            runs.append(SparkRun(line, [], None))
        elif runs and line.get("run") == "end":
            runs[-1] = SparkRun(runs[-1].begin, runs[-1].pieces, line)
        elif runs and ("step" in line or "summary" in line):
            runs[-1].pieces.append(line)
    return runs[::-1]


def show(lake: Lake, year: str) -> None:
    """Draw the page."""
    st.title("How long did it take, and how much memory?")
    with components.explained():
        _spark(lake, year)
    _models(lake)


def _spark(lake: Lake, year: str) -> None:
    runs = spark_runs(reading.spark_log(lake), year)
    if not runs:
        st.info(
            f"The log holds no run of the Spark summaries of {year}. Materialize `yearly_job` for it in the "
            f"{components.dagster_link()}.",
            icon=":material/hourglass_empty:",
        )
        return
    chosen = st.selectbox("Run that began (UTC)", [run.name for run in runs], key="run", bind="query-params")
    run = next(run for run in runs if run.name == chosen)
    seconds, memory = run.total("seconds"), run.largest("jvm_rss_mb") + run.largest("python_rss_mb")
    summaries = [line for line in run.pieces if "summary" in line]
    events = number(run.begin, "events")
    st.markdown(
        f"The **{len(summaries)} Spark summaries** of {year} took **{text.duration(seconds)}** for "
        f"{text.count(events)} events and up to **{text.size(memory * 1e6)}** of memory"
        + (f"; the longest was {text.code(_name(_longest(run.pieces)))}." if run.pieces else ".")
    )
    if run.end is None:
        st.warning("This run did not reach its end: what is shown is what it got done.", icon=":material/warning:")
    components.tiles(
        [
            Tile("Computing", text.duration(seconds), f"{len(run.pieces)} pieces of work"),
            Tile("Start of the session", text.duration(number(run.begin, "session_start_seconds")), "before them"),
            Tile("Events per second", text.count(text.ratio(events or 0, seconds)), "of computing"),
            Tile("Memory", text.size(memory * 1e6), "Spark and Python, resident"),
        ]
    )
    if not run.pieces:
        return
    _pieces(run, year)


def _name(line: LogLine) -> str:
    return line.get("summary") or line["step"]


def _longest(pieces: list[LogLine]) -> LogLine:
    return max(pieces, key=lambda line: number(line, "seconds") or 0)


def _pieces(run: SparkRun, year: str) -> None:
    as_of = text.minute(run.begin["time"])
    left, right = st.columns(2)
    ranked = sorted(run.pieces, key=lambda line: -(number(line, "seconds") or 0))
    with left:
        st.subheader("Time by piece of work")
        rows = [
            base.Bar(
                _name(line),
                number(line, "seconds") or 0,
                text.duration(number(line, "seconds")),
                base.BLUE if "summary" in line else base.SKY,
            )
            for line in ranked
        ]
        components.chart(base.bars(rows, title=f"Seconds of each piece of work for {year}", unit="seconds"), "seconds")
        st.caption(f"Source: spark_analysis.log · wall time; light bars serve several summaries · run of {as_of}")
    with right:
        st.subheader("Memory by piece of work")
        figure = st.selectbox("Memory", list(MEMORY), format_func=MEMORY.__getitem__, key="memory", bind="query-params")
        rows = [
            base.Bar(
                _name(line),
                number(line, figure) or 0,
                text.size((number(line, figure) or 0) * 1e6),
                base.BLUE if "summary" in line else base.SKY,
            )
            for line in ranked
        ]
        components.chart(base.bars(rows, title=f"{MEMORY[figure]} for {year}", unit="MB"), "memory-bars")
        st.caption(f"Source: spark_analysis.log · {MEMORY[figure]} in MB, just after the piece · run of {as_of}")
    parts.table(
        [
            {
                "Piece of work": text.visible(_name(line)),
                "Rows": number(line, "rows"),
                "Seconds": number(line, "seconds"),
                "Task seconds": number(line, "spark_run_seconds"),
                "CPU seconds": number(line, "spark_cpu_seconds"),
                "GC seconds": number(line, "spark_gc_seconds"),
                "Heap peak (MB)": number(line, "jvm_heap_peak_mb"),
                "Spark resident (MB)": number(line, "jvm_rss_mb"),
                "Python resident (MB)": number(line, "python_rss_mb"),
                "Records read": number(line, "spark_input_records"),
                "Shuffled (bytes)": number(line, "spark_shuffle_write_bytes"),
                "Spilled (bytes)": number(line, "spark_spilled_disk_bytes"),
            }
            for line in run.pieces
        ],
        f"Spark work of {year}",
        source="spark_analysis.log",
        height="content",
        columns={
            "Piece of work": st.column_config.TextColumn(pinned=True),
            **dict.fromkeys(("Rows", "Records read", "Shuffled (bytes)", "Spilled (bytes)"), NUMBER),
            **dict.fromkeys(
                ("Heap peak (MB)", "Spark resident (MB)", "Python resident (MB)"),
                st.column_config.NumberColumn(format="%.0f"),
            ),
            **dict.fromkeys(
                ("Seconds", "Task seconds", "CPU seconds", "GC seconds"), st.column_config.NumberColumn(format="%.2f")
            ),
        },
        alt="Table of the pieces of work of a run with time, memory, records read, shuffled and spilled bytes.",
    )
    facts = ", ".join(
        f"{name.replace('_', ' ')} {text.visible(value)}"
        for name, value in run.begin.items()
        if name not in ("time", "year", "run")
    )
    st.caption(f"Source: spark_analysis.log · {facts}")


def _models(lake: Lake) -> None:
    st.subheader("What did the models cost?")
    rows = []
    for model in MODELS:
        try:
            found = reading.cost(lake, model)
        except LakeFileError as error:
            components.explain(error)
            continue
        if found is None:
            continue
        if "streams" in found:
            rows += [
                (f"{model}, {stream}", cost["train_seconds"], cost["peak_mb"], cost["microseconds_per_prediction"],
                 found["model_bytes"])
                for stream, cost in found["streams"].items()
            ]  # fmt: skip
        else:
            rows += [
                (f"{model}, {metric}", seconds, found["peak_mb"], None, None)
                for metric, seconds in found["seconds"].items()
            ]
    if not rows:
        st.info(
            f"No model has written its cost yet. Materialize `models_job` in the {components.dagster_link()}.",
            icon=":material/hourglass_empty:",
        )
        return
    ranked = sorted(rows, key=lambda row: -row[1])
    bars = [base.Bar(name, seconds, text.duration(seconds)) for name, seconds, *_ in ranked]
    components.chart(base.bars(bars, title="Training time of the models", unit="seconds"), "training")
    st.caption("Source: cost.json of each model · seconds of training, over all years · one bar per stream or metric")
    parts.table(
        [
            {
                "Model and stream or metric": text.visible(name),
                "Training (s)": seconds,
                "Peak memory (MB)": memory,
                "One prediction (µs)": prediction,
                "Size (bytes)": size,
            }
            for name, seconds, memory, prediction, size in ranked
        ],
        "Cost of the models",
        source="cost.json of each model",
        columns={
            "Training (s)": st.column_config.NumberColumn(format="%.2f"),
            "Peak memory (MB)": st.column_config.NumberColumn(format="%.0f"),
            "One prediction (µs)": st.column_config.NumberColumn(format="%.2f"),
            "Size (bytes)": NUMBER,
        },
        alt="Table of training time, memory, prediction time and size of each model.",
    )
