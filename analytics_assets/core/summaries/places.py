"""Where events come from, as delivered.

Put here: ``spark_geography``. Keep out: what a place is called properly and what is imputed
(``core/features/places.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analytics_assets.core.summaries.aggregates import activity_by, stacked, with_share
from analytics_assets.core.summaries.frames import PLACES, Frames

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_NONE = "CAST(NULL AS STRING)"
LEVELS = {
    "country": f"country, {_NONE}, {_NONE}",
    "region": f"country, region, {_NONE}",
    "city": "country, region, city",
}
"""Places named by the rows of each level."""


def geography(frames: Frames) -> DataFrame:
    """Activity by country, region and city: see ``SPARK_GEOGRAPHY``."""
    levelled = frames.activity.selectExpr(
        "actor", "is_person", "is_top", "session_key", "events", stacked(LEVELS, f"level, {', '.join(PLACES)}")
    )
    counted = with_share(activity_by(levelled, ["level", *PLACES]), ["population", "level"])
    return counted.join(_country_codes(frames), "country", "left")


def _country_codes(frames: Frames) -> DataFrame:
    """ISO codes of the countries that occur, one row each; made on the driver, which knows the names of countries."""
    import pyarrow as pa
    from pyspark.sql import functions as F

    from analytics_assets.core.features.places import country_code

    names = frames.activity.select("country").where("country IS NOT NULL").distinct().toArrow()["country"].to_pylist()
    codes = [country_code(name) for name in names]
    table = pa.table({"country": pa.array(names, pa.string()), "country_code": pa.array(codes, pa.string())})
    return F.broadcast(frames.spark.createDataFrame(table))
