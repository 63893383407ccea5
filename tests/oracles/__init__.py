"""Slow, plain implementations that the package is tested against."""
