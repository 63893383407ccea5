"""Models beside each other on the same cases, and several runs of one model."""
