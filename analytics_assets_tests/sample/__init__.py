"""Tests of the synthetic sample export and its ground truth."""
