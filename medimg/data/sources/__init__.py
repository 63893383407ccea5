"""One file a format: each can index (headers to rows) and read (row to `Pixels`)."""
