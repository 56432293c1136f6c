"""Models: training, prediction and artefacts in open formats; usable without Dagster."""
