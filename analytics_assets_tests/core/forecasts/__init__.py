"""Tests of the package folder of the same name."""
