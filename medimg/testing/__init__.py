"""Makers of tiny data for tests and first steps: pictures that can be learnt, in every format.

Every maker takes a seed and gives the same bytes for the same arguments.
"""

from medimg.testing.arrays import make_idx, make_nifti, make_npz, write_idx
from medimg.testing.dicom import make_dicom, make_enhanced, make_uid, write_dicom
from medimg.testing.dicom_sets import make_dicom_folder, make_series, make_twins
from medimg.testing.patients import make_patients
from medimg.testing.pictures import make_image_folder, make_pictures, make_table
from medimg.testing.tables import make_manifest, make_predictions

__all__ = [
    "make_dicom",
    "make_dicom_folder",
    "make_enhanced",
    "make_idx",
    "make_image_folder",
    "make_manifest",
    "make_nifti",
    "make_npz",
    "make_patients",
    "make_pictures",
    "make_predictions",
    "make_series",
    "make_table",
    "make_twins",
    "make_uid",
    "write_dicom",
    "write_idx",
]
