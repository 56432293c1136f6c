"""Tests of the dashboards on a lake built by the pipeline's own functions, without Dagster and Spark."""
