"""Deployment files: ``dagster.yaml`` for one machine."""
