"""The table half: metrics, intervals, calibration; `Predictions` in, numbers with intervals out."""
