"""Slices to volumes: where they lie, which belong together."""
