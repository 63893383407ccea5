"""Whether a probability means what it says: calibration errors and what recalibrates them."""
