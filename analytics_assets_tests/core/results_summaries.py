"""Hand-made Spark summaries of one year, as the results read them.

Put here: their rows and how they are written. Keep out: assertions.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pyarrow as pa

from analytics_assets.core.files import write_table
from analytics_assets.core.lake import Lake
from analytics_assets.schemas import TABLES

SUMMARIES: dict[str, list[dict[str, Any]]] = {
    "spark_dataset_overview": [
        {
            "column_name": "country",
            "column_type": "string",
            "events": 10,
            "nulls": 1,
            "null_share": 0.1,
            "distinct_values": 3,
            "min_value": "Chile",
            "max_value": "Peru",
            "top_value": "Peru",
            "top_value_events": 6,
        }
    ],
    "spark_top_values": [
        {"column_name": name, "place": place, "value": f"{name} {place}", "events": 9 - place, "event_share": 0.1}
        for name in ("country", "user_id", "uuid", "ip_address", "session_key", "time")
        for place in range(1, 8)
    ],
    "spark_funnels": [
        {
            "population": population,
            "funnel": "order",
            "origin": "configured",
            "scope": "session",
            "window_minutes": 60.0,
            "step": step,
            "event_type": f"step {step}",
            "reached": 40 // step,
            "share_of_first": 1 / step,
            "share_of_previous": None if step == 1 else 0.5,
            "share_low": 0.0,
            "share_high": 1.0,
            "median_seconds": None if step == 1 else 2.5,
        }
        for population in ("all", "people")
        for step in (1, 2)
    ],
    "spark_retention": [
        {
            "population": "all",
            "granularity": granularity,
            "cohort": date(2024, 1, 1) + timedelta(days=7 * cohort),
            "period": period,
            "cohort_actors": 10 + cohort,
            "active_actors": (10 + cohort) // (period + 1),
            "retention": (10 + cohort) // (period + 1) / (10 + cohort),
            "is_complete": cohort + period < 5,
        }
        for granularity in ("day", "week")
        for cohort in range(4)
        for period in range(4)
    ],
    "spark_user_lifecycle": [
        {
            "population": "all",
            "granularity": granularity,
            "period": date(2024, 1, 1),
            "active_actors": 3,
            "new_actors": 1,
            "returning_actors": 1,
            "resurrected_actors": 1,
            "dormant_actors": 0,
            "is_complete": True,
        }
        for granularity in ("day", "week", "month")
    ],
    "spark_stickiness": [
        {
            "population": population,
            "date": date(2024, 12, 28) + timedelta(days=day),
            "dau": day + lead,
            "wau": 7 * (day + lead),
            "mau": 30 * (day + lead),
            "dau_wau": 1 / 7,
            "dau_mau": 1 / 30,
            "is_complete": day != 2,
        }
        for lead, population in enumerate(("all", "people", "without_top_actor"), 1)
        for day in range(4)
    ],
}


def write_summaries(lake: Lake, year: str, tables: dict[str, list[dict[str, Any]]]) -> None:
    for name, rows in tables.items():
        write_table(lake.summary(year, name), pa.Table.from_pylist(rows, TABLES[name].arrow_schema()), TABLES[name])
