"""medimg against every claim of `every.py`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_conformance.claims import Claim, Refused, Volume, files_of, judge
from dicom_conformance.every import CLAIMS
from dicom_conformance.medimg_reader import Medimg

from medimg.errors import PixelError


def _case(claim: Claim) -> Any:
    marks = [pytest.mark.data] if claim.needs_data else []
    return pytest.param(claim, marks=marks, id=claim.name.replace(" ", "_"))


@pytest.mark.parametrize("claim", [_case(c) for c in CLAIMS])
def test_medimg_holds(claim: Claim, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    data = request.getfixturevalue("data_root") if claim.needs_data else None
    files = files_of(claim, tmp_path, data)
    try:
        got = Medimg().answer(claim, files)
    except Refused as refused:
        assert claim.kind == "refused", f"refused: {refused.code}"
        assert refused.code in claim.expected
        return
    assert judge(claim, got) == "", claim.clause


def test_claims_are_many_and_their_own() -> None:
    assert len(CLAIMS) >= 60
    assert sum(claim.on_vendors_file for claim in CLAIMS) >= 20
    named = Counter((claim.name, claim.kind, str(claim.file)) for claim in CLAIMS)
    assert max(named.values()) == 1
    assert all(claim.clause.startswith("PS3.") for claim in CLAIMS)


def test_refusals_are_expected_by_codes_that_exist() -> None:
    for claim in CLAIMS:
        if claim.kind == "refused":
            assert set(claim.expected) <= set(PixelError.CODES), claim.name


def test_a_wrong_answer_is_seen() -> None:
    """Each claim on an array is told apart from the same array one off."""
    for claim in CLAIMS:
        if claim.kind in ("stored", "values", "grey") and isinstance(claim.expected, list):
            right = np.array(claim.expected, float)
            assert judge(claim, right) == "", claim.name
            assert judge(claim, right + 1) != ""
            assert judge(claim, right.T[::-1]) != "" or right.size == 1 or (right == right[0]).all()


def test_a_volume_is_judged_where_it_lies() -> None:
    claim = next(c for c in CLAIMS if c.kind == "world")
    array = np.zeros((12, 16, 4))
    i, j, k = np.indices(array.shape)
    array[:] = 100 * k + 10 * j + i
    affine = np.array([[-0.6, 0, 0, 10], [0, -0.8, 0, 20], [0, 0, 2, -30], [0, 0, 0, 1]])
    assert judge(claim, Volume(array, affine)) == ""
    turned = affine @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, 3], [0, 0, 0, 1]])
    assert judge(claim, Volume(array[:, :, ::-1], turned)) == ""
    assert judge(claim, Volume(array[:, :, ::-1], affine)) != ""
    assert judge(claim, Volume(array[:, ::-1], affine)) != ""
