"""Tables that Spark computes from one year's events."""
