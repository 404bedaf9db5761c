"""The charts, one a file: each a function of a run's data that returns a `Chart`."""
