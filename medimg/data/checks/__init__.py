"""The checks of an audit: each takes a manifest or pictures and gives findings."""
