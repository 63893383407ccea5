"""The figures of the page, one kind a file; each returns a `Figure` and computes nothing."""
