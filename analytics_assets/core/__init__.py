"""Pure computation: readers, summaries, features, models. Never imports Dagster; usable from a notebook."""
