"""Every metric with its interval, or the reason why it has none."""
