"""Model and cases to `Predictions`; the model as one folder."""
