"""What an evaluation leaves: the records of `metrics.json` and `comparison.json`."""
