"""Tests of the Spark summaries against an independent engine."""
