"""The lake as a Dagster resource, and what every asset does around its work when the lake lies in a bucket.

Put here: its configuration, and the seam between steps and the bucket. Keep out: paths (``core/lake.py``), writing
(``core/files.py``), the bucket itself (``core/remote``).
"""

# No "from __future__ import annotations": Dagster reads the annotations of wrapped assets.
import contextlib
import functools
import inspect
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from analytics_assets.core.lake import Lake
from analytics_assets.metadata import failing_clearly

if TYPE_CHECKING:
    from analytics_assets.core.remote.working_copy import Publish, WorkingCopy


class LakeResource(dg.ConfigurableResource):
    """Root folder of the data; assets use `lake`."""

    root: str = Field(description="Folder that holds raw/, chunks/, summaries/, features/, models/ and reports/.")
    url: str = Field(
        default="",
        description="Where the lake lies, s3://bucket/prefix: the folder is then a working copy. Empty: the folder.",
    )

    @property
    def lake(self) -> Lake:
        """All paths below the root."""
        return Lake(Path(self.root))

    def fetch_exports(self, years: Iterable[str] | None = None) -> None:
        """Bring the folder's raw exports up to date with the bucket, if there is one; of some years or of all."""
        if self.url:
            self._copy().fetch_exports(years)

    def _copy(self) -> "WorkingCopy":
        from analytics_assets.core.remote.working_copy import WorkingCopy

        return WorkingCopy(self.lake, self.url)

    @contextlib.contextmanager
    def step(self, context: dg.AssetExecutionContext) -> Iterator["Publish"]:
        """Fetch what a step reads; yields the function that publishes one of its assets."""
        if not self.url:
            yield lambda _: None
            return
        with failing_clearly(self.lake.root):
            step = self._copy().step(
                [key.to_user_string() for key in context.selected_asset_keys],
                [key.to_user_string() for key in context.assets_def.dependency_keys],
                context.partition_key if context.has_partition_key else None,
            )
            with step as publish:
                yield publish


def in_lake(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator of every asset's function: its inputs are fetched before it, its files published after it.

    Without a bucket it does nothing. An asset that yields results is published result by result, each before Dagster
    records it.
    """

    @functools.wraps(function)
    def returning(context: dg.AssetExecutionContext, lake: LakeResource, **others: Any) -> Any:
        with lake.step(context) as publish:
            result = function(context, lake=lake, **others)
            for key in sorted(context.selected_asset_keys):
                publish(key.to_user_string())
            return result

    @functools.wraps(function)
    def yielding(context: dg.AssetExecutionContext, lake: LakeResource, **others: Any) -> Iterator[Any]:
        with lake.step(context) as publish:
            for result in function(context, lake=lake, **others):
                publish(result.asset_key.to_user_string())
                yield result

    whole: Any = yielding if inspect.isgeneratorfunction(function) else returning
    # The UI links an asset to the file of its code object, which is to be the asset's own.
    whole.__code__ = whole.__code__.replace(co_filename=function.__code__.co_filename)
    return whole
