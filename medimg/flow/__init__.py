"""What one run and a training over folds have in common: open, plan, audit, train, report."""
