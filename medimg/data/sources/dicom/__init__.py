"""DICOM: one reader for training, inference, notebooks and reports."""
