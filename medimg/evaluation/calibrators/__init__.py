"""How each calibrator is fitted, one family a file, and which of them is the best."""
