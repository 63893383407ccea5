"""Headers: what a folder of DICOM holds, without its pixels."""
