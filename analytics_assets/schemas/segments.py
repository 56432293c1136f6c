"""Tables that describe the segments.

Put here: their columns. Keep out: how segments are found (``core/models/kmeans.py``), everyone's segment
(``KMEANS_ASSIGNMENTS`` in ``models.py``).
"""

from __future__ import annotations

from analytics_assets.schemas.columns import Column, Table, count, real, text

_SEGMENT = Column("segment", "int64", "Segment from 0, largest first.", nullable=False)
_NAME = text("segment_name", "Name from the most distinguishing features.", nullable=False)

KMEANS_PROFILES = Table(
    "kmeans_segments_profiles",
    "What each segment is like: its actors' measures, event mix, countries and devices against all segmented actors.",
    (
        _SEGMENT,
        _NAME,
        text(
            "kind",
            "measure or event: segments were made from it; hour, country or device: for description only.",
            nullable=False,
        ),
        text("feature", "Measure, event type, country or device family.", nullable=False),
        text("unit", "Unit of mean and median; empty where there is none.", nullable=False),
        count("actors", "Actors of the segment."),
        real(
            "mean",
            "Mean over the segment's actors; for an event type of its share in an actor's events, for countries and "
            "devices the share of actors.",
            nullable=False,
        ),
        real("median", "Median over the segment's actors; null for hour, country and device."),
        real("overall_mean", "Mean over all segmented actors.", nullable=False),
        real(
            "z", "mean - overall_mean in standard deviations of all segmented actors; null where these do not differ."
        ),
        real("lift", "mean / overall_mean; null where values can be negative or nobody has any."),
        real(
            "lift_low",
            "Lower end of its 95 % interval over actors, the segments taken as given: they were made from measures and "
            "events, so for these it describes and proves no difference.",
        ),
        real("lift_high", "Upper end."),
    ),
    key=("segment", "kind", "feature"),
)

KMEANS_CHOICES = Table(
    "kmeans_segments_choices",
    "Every number of segments that was tried, and why it was chosen or not.",
    (
        Column("k", "int64", "Number of segments.", nullable=False),
        real("silhouette", "Mean silhouette of the actors.", nullable=False, minimum=-1, maximum=1),
        real("macro_silhouette", "Mean over segments of their mean silhouettes: the criterion.", nullable=False),
        real("calinski_harabasz", "Variance between segments over variance within, by degrees of freedom."),
        real(
            "stability",
            "Smallest over segments of the mean Jaccard similarity with the nearest segment of bootstrap samples.",
            nullable=False,
        ),
        real("mean_stability", "Mean over segments of the same.", nullable=False),
        count("smallest", "Actors of the smallest segment."),
        Column("large_enough", "bool", "Whether no segment is below the smallest size allowed.", nullable=False),
        Column("stable", "bool", "Whether stability is at least 0.75.", nullable=False),
        real(
            "shuffled_silhouette",
            "Silhouette of the same data with every column shuffled.",
            nullable=False,
            minimum=-1,
            maximum=1,
        ),
        Column("chosen", "bool", "Whether it is the published number.", nullable=False),
    ),
    key=("k",),
)

KMEANS_REPRESENTATIVES = Table(
    "kmeans_segments_representatives",
    "The actors nearest to each segment's centre.",
    (
        _SEGMENT,
        _NAME,
        Column("rank", "int64", "Place by distance, from 1.", nullable=False),
        text("actor", "Actor.", nullable=False),
        real("distance", "Distance to the centre in the scaled space.", nullable=False),
    ),
    key=("segment", "rank"),
)

KMEANS_MOVES = Table(
    "kmeans_segments_moves",
    "Actors by their segment in the first half of the events and in the second half, where both are known.",
    (
        Column("from_segment", "int64", "Segment by the first half.", nullable=False),
        text("from_name", "Its name.", nullable=False),
        Column("to_segment", "int64", "Segment by the second half.", nullable=False),
        text("to_name", "Its name.", nullable=False),
        count("actors", "Actors."),
        real("share", "Share of the actors of from_segment.", "share", nullable=False),
    ),
    key=("from_segment", "to_segment"),
)
