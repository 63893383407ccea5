"""Figures and the self-contained page; never computes a metric."""
