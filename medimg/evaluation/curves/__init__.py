"""Curves over all thresholds, with their bands."""
