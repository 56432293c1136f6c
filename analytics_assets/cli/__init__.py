"""The ``analytics`` command: demo, sample, up."""
