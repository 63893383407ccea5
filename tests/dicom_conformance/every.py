"""All claims, in one list."""

from dicom_conformance import (
    claims_colour,
    claims_grey,
    claims_refused,
    claims_stored,
    claims_vendors,
    claims_volume,
)

CLAIMS = [
    *claims_stored.CLAIMS,
    *claims_grey.CLAIMS,
    *claims_colour.CLAIMS,
    *claims_volume.CLAIMS,
    *claims_refused.CLAIMS,
    *claims_vendors.CLAIMS,
]
