"""Dagster resources: the lake and the Spark session."""
