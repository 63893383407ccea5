"""The parts of the search for near-duplicates, against the obvious way and known answers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from scipy.fft import dctn

from medimg.data.checks import search as search_module
from medimg.data.checks.align import align
from medimg.data.checks.planes import Planes
from medimg.data.checks.resampling import averaging, mirror, read_crops, shrink
from medimg.data.checks.search import Search
from medimg.data.checks.sketch import Sketch


def pictures(count: int, side: int, width: float = 3.0, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(count, side, side))
    smooth = ndimage.gaussian_filter(noise, (0, width, width))
    return np.clip(128 + 40 * smooth / smooth.std(), 0, 255).astype(np.float32)


def test_shrinking_by_a_whole_factor_is_the_mean_of_blocks() -> None:
    planes = pictures(3, 24)
    blocks = planes.reshape(3, 12, 2, 8, 3).mean(axis=(2, 4))
    assert np.allclose(shrink(planes, (12, 8)), blocks, atol=1e-4)
    assert np.allclose(averaging(7, 5).sum(axis=1), 1)


def test_the_whole_as_a_crop_changes_nothing_and_a_half_is_stretched() -> None:
    whole, left = read_crops(np.array([[1, 0], [0.5, -0.5]], np.float32), 8)
    assert np.allclose(whole, np.eye(8), atol=1e-5)
    ramp = left @ np.arange(8, dtype=np.float32)
    assert np.allclose(ramp, np.clip(np.arange(8) / 2 - 0.25, 0, 7), atol=1e-5)


def test_a_sketch_of_a_mirrored_picture_is_the_sketch_with_signs() -> None:
    coarse = pictures(40, 16, seed=1)
    sketch = Sketch.fit(coarse, np.random.default_rng(0))
    whole = np.array([[1, 0]], np.float32)
    plain = sketch(coarse, whole)[:, 0]
    assert np.allclose(np.linalg.norm(plain, axis=1), 1, atol=1e-5)
    for flip in range(4):
        turned = mirror(coarse, np.full(40, flip))
        assert np.allclose(sketch(turned, whole)[:, 0], plain * sketch.mirrored[flip], atol=1e-4)


def test_sketches_read_the_cosine_transform() -> None:
    coarse = pictures(30, 16, seed=2)
    sketch = Sketch.fit(coarse, np.random.default_rng(0))
    low = dctn(coarse, axes=(1, 2), norm="ortho")[:, :8, :8].reshape(30, 64)[:, 1:]
    expected = low @ sketch.weights
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert np.allclose(sketch(coarse, np.array([[1, 0]], np.float32))[:, 0], expected, atol=1e-4)


@pytest.mark.parametrize("count", [5, 70])
def test_tiles_find_what_one_large_comparison_finds(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_module, "_ROWS", 16)
    monkeypatch.setattr(search_module, "_COLUMNS", 24)
    grey = pictures(count, 20, seed=3).astype(np.uint8)[:, None]
    search = Search.of(Planes(grey, np.arange(count)))
    few = search_module._FEW
    moved = search.sketch(search.coarse, search_module._PLACES)[..., :few]
    own = moved / np.linalg.norm(moved, axis=-1, keepdims=True)
    others = search.whole[:, :few]
    others = others / np.linalg.norm(others, axis=1, keepdims=True)
    for row in range(count):
        score = np.stack(
            [(own[row] * sign[:few] @ others.T).max(axis=0) for sign in search.sketch.mirrored]
        )
        score[:, : row + 1] = -1
        order = np.argsort(-score.T.ravel(), kind="stable")
        order = order[score.T.ravel()[order] >= search_module._LEAST][: search_module._KEPT]
        codes = search._others(row // 16 * 16)[row % 16]
        assert set(codes[codes >= 0]) == set(order)


@pytest.mark.parametrize("turned", [False, True])
def test_alignment_finds_the_crop_and_the_gain(turned: bool) -> None:
    large = pictures(1, 200, width=9, seed=4)[0]
    whole = shrink(large[None], (50, 50))
    crop = shrink(large[None, 12:200, 4:192], (50, 50)) * 0.85
    pair = (crop, whole) if turned else (whole, crop)
    found = align(*pair, np.full((1, 2, 2), [0.04, -0.04], np.float32) * (-1 if turned else 1))
    assert np.allclose(found.edges[0], [[0.12, 0], [0.04, -0.08]], atol=0.01)
    assert found.gain[0] == pytest.approx(0.85, abs=0.02)
    assert found.similarity[0] > 0.99


def test_different_pictures_do_not_align() -> None:
    grey = pictures(40, 48, seed=5)
    start = np.zeros((20, 2, 2), np.float32)
    assert align(grey[:20], grey[20:], start).similarity.max() < 0.7
