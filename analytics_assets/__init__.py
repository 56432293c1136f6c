"""User Analytics & Predictive Modeling Pipeline: the Dagster code location (see ``definitions.py``)."""
