"""Forecasts of daily and hourly series: models, backtest, calibrated intervals, anomalies. Never imports Dagster."""
