"""The Spark session as a Dagster resource.

Put here: Spark settings and the session's life. Keep out: what is computed with it (``core/summaries``).
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field, PrivateAttr

from analytics_assets.core.java import Java, find_java

if TYPE_CHECKING:
    from dagster_pyspark import LazyPySparkResource
    from pyspark.sql import SparkSession

LOG_SETTINGS = Path(__file__).with_name("log4j2.properties")

SHUFFLE_PARTITIONS = 8
"""Partitions after a shuffle: a few per core of a small machine; adaptive execution merges what is too small."""


class SparkResource(dg.ConfigurableResource):
    """A Spark session that starts when first asked for and stops with the run.

    It holds dagster-pyspark's lazy resource, which starts the session but never stops it. That package is imported
    when the session is asked for: it takes seconds, and the code location must load without it.
    """

    master: str = Field(default="local[*]", description="Spark master: local[*], or the URL of a cluster.")
    driver_memory: str = Field(default="4g", description="Heap of the driver; the first session of a process fixes it.")
    java_options: str = Field(default="", description="Further options of the driver's Java process.")
    shuffle_partitions: int = Field(default=SHUFFLE_PARTITIONS, ge=1, description="Partitions after a shuffle.")
    extra: dict[str, str] = Field(default={}, description="Further Spark settings by name.")

    _inner: LazyPySparkResource | None = PrivateAttr(default=None)
    _java: Java | None = PrivateAttr(default=None)

    def settings(self) -> dict[str, Any]:
        """All Spark settings by name."""
        java_options = [f"-Dlog4j2.configurationFile={LOG_SETTINGS.as_uri()}", *self.java_options.split()]
        return {
            "spark.app.name": "analytics-summaries",
            "spark.master": self.master,
            "spark.driver.memory": self.driver_memory,
            "spark.sql.shuffle.partitions": str(self.shuffle_partitions),
            # A cast that fails must stop the run, and every time is UTC: neither may depend on the machine.
            "spark.sql.ansi.enabled": "true",
            "spark.sql.session.timeZone": "UTC",
            # The scan's cache is read some ten times and then dropped: compressing it costs a tenth of all summaries.
            "spark.sql.inMemoryColumnarStorage.compressed": "false",
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            # Loopback only, unless the master is a cluster.
            **({"spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"} if self._is_local else {}),
            "spark.sql.warehouse.dir": str(Path(tempfile.gettempdir()) / "analytics-spark-warehouse"),
            "spark.driver.extraJavaOptions": " ".join(java_options),
            **self.extra,
        }

    @property
    def _is_local(self) -> bool:
        return self.master.startswith("local")

    @property
    def java(self) -> Java:
        """The Java that runs the driver."""
        if self._java is None:
            self._java = find_java()
        return self._java

    @property
    def session(self) -> SparkSession:
        """The session, started on first use."""
        if self._inner is None:
            from dagster_pyspark import LazyPySparkResource

            # Data leaves Spark as Arrow, so what this warns of is never used.
            warnings.filterwarnings(
                "ignore", message="PySpark does not yet fully support pandas", category=FutureWarning
            )
            os.environ["JAVA_HOME"] = self.java.home
            # Python workers, where a job needs any, are this Python: the one on the path may be another version.
            os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
            if self._is_local:
                os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
            inner = LazyPySparkResource(spark_config=self.settings())
            _ = inner.spark_session  # only what has started is kept: stopping must not start it
            self._inner = inner
        session: SparkSession = self._inner.spark_session
        return session

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Stop the session, so that the next run gets one with its own settings."""
        self.stop()

    def stop(self) -> None:
        """Stop the session when there is one.

        The Java process stays for the next session, which would take over what this one had set as its defaults.
        """
        inner, self._inner = self._inner, None
        if inner is None:
            return
        java = inner.spark_context._jvm.java.lang.System
        inner.spark_session.stop()
        for name in self.settings():
            java.clearProperty(name)
