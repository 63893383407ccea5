"""Near-duplicates: found whatever was done to them, and what is different is left alone."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from medimg.data.checks.near import Pair, near_duplicates
from medimg.data.pixels import Pixels
from medimg.data.preprocess import Preprocess

Picture = NDArray[np.uint8]
KINDS = ("crop", "gain", "resize", "flip", "jpeg")


def reencoded(picture: Picture, **options: Any) -> Picture:
    """Return what is read of a picture after it was written."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, **options)
    return np.asarray(Image.open(io.BytesIO(file.getvalue())))


def cropped(picture: Picture, share: float, place: Sequence[float]) -> Picture:
    """Return a picture without `share` of its sides; at `place` (0 to 1 each) lies what stays."""
    cut = [round(share * side) for side in picture.shape]
    top, left = (round(p * c) for p, c in zip(place, cut, strict=True))
    return picture[top : top + picture.shape[0] - cut[0], left : left + picture.shape[1] - cut[1]]


def copied(
    picture: Picture, rng: np.random.Generator, kinds: Sequence[str], *, extreme: bool
) -> Picture:
    """Return a copy that is changed in all of `kinds`, by the most that is drawn or less."""

    def draw(low: float, high: float) -> float:
        return float(rng.choice([low, high]) if extreme else rng.uniform(low, high))

    if "crop" in kinds:
        share = 0.08 if extreme else rng.uniform(0.02, 0.08)
        picture = cropped(picture, share, (draw(0, 1), draw(0, 1)))
    if "gain" in kinds:
        picture = np.clip(np.round(picture * draw(0.8, 1.2)), 0, 255).astype(np.uint8)
    if "resize" in kinds:
        factor = draw(0.7, 1.4)
        size = [round(factor * side) for side in picture.shape[::-1]]
        image = Image.fromarray(picture).resize((size[0], size[1]), Image.Resampling.BICUBIC)
        picture = np.asarray(image)
    if "flip" in kinds:
        axis: Any = [(0,), (1,), (0, 1)][rng.integers(3)]
        picture = np.ascontiguousarray(np.flip(picture, axis))
    if "jpeg" in kinds:
        quality = 50 if extreme else int(rng.integers(50, 91))
        picture = reencoded(picture, format="JPEG", quality=quality)
    return picture


def stored(pictures: Sequence[Picture], side: int = 64) -> Picture:
    """Return pictures as a store keeps them (N, 1, side, side)."""
    preprocess = Preprocess(size=(side, side), channels=1, bits=8, units="stored")
    arrays = (np.asarray(picture, np.float32)[None] for picture in pictures)
    return np.stack([preprocess.apply(Pixels(array, 0, 255)) for array in arrays])


def textures(count: int, side: int = 48, seed: int = 0) -> list[Picture]:
    """Return pictures of smooth noise, all different."""
    noise = np.random.default_rng(seed).normal(size=(count, side, side))
    smooth = sum(
        width * ndimage.gaussian_filter(noise, (0, width, width), mode="wrap") for width in (2, 5)
    )
    return list(np.clip(128 + 45 * smooth / smooth.std(), 0, 255).astype(np.uint8))


def places(pairs: Sequence[Pair]) -> list[tuple[int, int]]:
    return [(pair.first, pair.second) for pair in pairs]


def test_each_kind_of_copy_is_found_and_named() -> None:
    base = textures(60)
    flips = [np.fliplr(base[0]), np.flipud(base[1]), base[2][::-1, ::-1]]
    others = [
        cropped(base[3], 0.08, (1, 0)),
        np.round(base[4] * 0.8).astype(np.uint8),
        reencoded(base[5], format="JPEG", quality=50),
    ]
    pairs = near_duplicates(stored([*base, *flips, *others, base[6]]))
    assert places(pairs) == [(n, 60 + n) for n in range(7)]
    assert [pair.how for pair in pairs] == [
        "mirrored left to right",
        "mirrored top to bottom",
        "mirrored both ways",
        "cropped",
        "of other contrast",
        "re-encoded or resized",
        "equal",
    ]
    assert pairs[-1].similarity == 1
    assert all(0.88 <= pair.similarity <= 1 for pair in pairs)


def test_everything_at_once_is_still_found() -> None:
    base = textures(100, seed=1)
    rng = np.random.default_rng(2)
    copies = [copied(picture, rng, KINDS, extreme=True) for picture in base[:40]]
    found = places(near_duplicates(stored([*base, *copies])))
    assert len(set(found) & {(n, 100 + n) for n in range(40)}) >= 38
    assert all(second - first == 100 for first, second in found)


def test_the_order_changes_nothing() -> None:
    base = textures(50, seed=3)
    rng = np.random.default_rng(4)
    pictures = stored([*base, *(copied(p, rng, KINDS, extreme=True) for p in base[:20])])
    order = rng.permutation(len(pictures))
    plain = near_duplicates(pictures)
    shuffled = {
        tuple(sorted((order[a], order[b]))): s for a, b, s, _ in near_duplicates(pictures[order])
    }
    assert shuffled == {(a, b): s for a, b, s, _ in plain}


def test_index_says_which_rows_take_part() -> None:
    pictures = stored([*textures(10), np.fliplr(textures(10)[4])])
    assert places(near_duplicates(pictures, np.array([10, 3, 4]))) == [(0, 2)]
    assert not near_duplicates(pictures, np.arange(10))


def test_of_equal_pictures_the_first_stands_for_all() -> None:
    base = textures(12, seed=5)
    pictures = stored([*base, base[2], base[2], np.flipud(base[2])])
    assert places(near_duplicates(pictures)) == [(2, 12), (2, 13), (2, 14)]


@pytest.mark.parametrize("count", [0, 1, 2, 3])
@pytest.mark.parametrize("side", [1, 2, 8, 31])
def test_the_smallest_sets_and_pictures_pass(count: int, side: int) -> None:
    pictures = np.random.default_rng(6).integers(0, 256, (count, 1, side, side + 1), np.uint8)
    assert near_duplicates(pictures) == []


def test_two_pictures_are_enough() -> None:
    picture = textures(1, seed=7)[0]
    (pair,) = near_duplicates(stored([picture, np.fliplr(cropped(picture, 0.05, (0, 1)))]))
    assert pair.how == "mirrored left to right; cropped"


def test_blank_pictures_take_no_part_and_equal_ones_are_no_flood() -> None:
    blank = [np.full((48, 48), grey, np.uint8) for grey in (0, 0, 255, 7)]
    assert near_duplicates(stored(blank)) == []
    assert near_duplicates(stored([*blank, *textures(5)])) == []
    assert len(near_duplicates(stored(textures(1) * 30))) == 29


def test_nearly_blank_pictures_are_not_like_each_other() -> None:
    rng = np.random.default_rng(8)
    faint = 100 + rng.integers(0, 3, (30, 1, 48, 48)).astype(np.uint8)
    assert near_duplicates(faint) == []
    ramp = np.linspace(0, 2, 48)[None, :]
    slopes = [np.round(100 + ramp * f + np.zeros((48, 1))).astype(np.uint8) for f in (1, 1.2, 1.4)]
    assert near_duplicates(np.stack(slopes)[:, None]) == []


def test_a_homogeneous_set_is_no_flood() -> None:
    """One picture with a little of another each: all alike, and no two are copies."""
    common, own = textures(1, seed=9)[0], textures(400, seed=10)
    mixed = [(0.75 * common + 0.25 * picture).astype(np.uint8) for picture in own]
    copy = reencoded(np.fliplr(mixed[3]), format="JPEG", quality=90)
    pairs = near_duplicates(stored([*mixed, copy]))
    assert places(pairs) == [(3, 400)]


def test_sixteen_bits_colours_and_any_shape_are_taken() -> None:
    base = [np.kron(picture, np.ones((1, 2), np.uint8))[:, :80] for picture in textures(20)]
    grey = np.stack([*base, np.flipud(base[1])])[:, None]
    assert places(near_duplicates(grey)) == [(1, 20)]
    assert places(near_duplicates(grey.astype(np.uint16) * 257)) == [(1, 20)]
    assert places(near_duplicates(np.repeat(grey, 3, axis=1))) == [(1, 20)]


def test_volumes_are_compared_along_every_axis() -> None:
    noise = np.random.default_rng(11).normal(size=(21, 16, 24, 24))
    noise = ndimage.gaussian_filter(noise, (0, 2, 2, 2))
    volumes = np.clip(128 + 40 * noise / noise.std(), 0, 255).astype(np.uint8)[:, None]
    volumes[20] = volumes[7, :, :, :, ::-1]
    half = volumes.copy()
    half[20, :, :8] = half[3, :, :8]  # half of another volume
    assert places(near_duplicates(volumes)) == [(7, 20)]
    assert near_duplicates(half) == []


# The pictures: tiles of 64 pixels of the slices of ct_contrast, none over another, in a window
# for soft tissue; at least half of each is tissue. There are 2,293 of them; 2,000 are drawn.
# Every second patient's slices served to choose the method and its figures. Copies are made of
# the others' tiles alone; those fill the set up to 2,000, as pictures that must not be found.
#
# Pairs of tiles that are found and were not put there were to be looked at, original and
# mirrored side by side, and listed here where they show one and the same thing: there are none.
# (Tiles that are mostly air or table, left out here, do hold such pairs: two ends of one table.)
NATURAL: frozenset[tuple[str, str]] = frozenset()
TILE, WINDOW, TISSUE = 64, (-160, 240), -300


def tiles(root: Path) -> tuple[list[Picture], list[str], list[bool]]:
    """Return tiles, names and whether each is of a patient that the method was not chosen on."""
    import pydicom

    found, names, unseen, patients, seen = [], [], [], [], set()
    for path in sorted((root / "ct_contrast" / "dicom_dir").glob("*.dcm")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(path)
            units = dataset.pixel_array * float(dataset.RescaleSlope)
        if units.tobytes() in seen:
            continue
        seen.add(units.tobytes())
        units = np.clip(units + float(dataset.RescaleIntercept), -1024, 3071)
        low, high = WINDOW
        grey = np.clip(np.round((units - low) / (high - low) * 255), 0, 255).astype(np.uint8)
        for y in range(0, grey.shape[0] - TILE + 1, TILE):
            for x in range(0, grey.shape[1] - TILE + 1, TILE):
                place = np.s_[y : y + TILE, x : x + TILE]
                if (units[place] > TISSUE).mean() >= 0.5 and grey[place].std() >= 8:
                    found.append(grey[place])
                    names.append(f"{path.name[3:7]}@{y},{x}")
                    patients.append(str(dataset.PatientID))
    used = set(sorted(set(patients))[::2])
    unseen = [patient not in used for patient in patients]
    return found, names, unseen


@pytest.fixture(scope="module")
def ct(data_root: Path) -> tuple[list[Picture], list[str], NDArray[np.bool_]]:
    """2,000 tiles, their names, and which a copy may be made of."""
    pictures, names, unseen = tiles(data_root)
    drawn = np.sort(np.random.default_rng(0).permutation(len(pictures))[:2000])
    return [pictures[i] for i in drawn], [names[i] for i in drawn], np.array(unseen)[drawn]


def trial(
    ct: tuple[list[Picture], list[str], NDArray[np.bool_]], seed: int, count: int, *, extreme: bool
) -> tuple[int, int, int, int]:
    """Return found and made of lossless copies left out, found right, and found wrong."""
    pictures, names, unseen = ct
    rng = np.random.default_rng([seed, 20261120])
    base = stored(pictures)
    source = rng.choice(np.flatnonzero(unseen), count, replace=False)
    copies, lossless = [], []
    for number, row in enumerate(source):
        drawn = [kind for kind in KINDS if rng.random() < 0.7]
        kinds = KINDS if extreme else drawn
        lossless.append(not kinds)
        if lossless[-1]:
            copies.append(reencoded(pictures[row], format="PNG") if number % 2 else pictures[row])
        else:
            copies.append(copied(pictures[row], rng, kinds, extreme=extreme))
    pairs = set(places(near_duplicates(np.concatenate([base, stored(copies)]))))
    made = {(int(row), len(base) + n) for n, row in enumerate(source)}
    plain = {
        pair
        for pair, whole in zip(sorted(made, key=lambda p: p[1]), lossless, strict=True)
        if whole
    }
    assert plain <= pairs, "an exact copy was missed"
    wrong = [
        p
        for p in pairs - made
        if tuple(names[i] if i < len(names) else "" for i in p) not in NATURAL
    ]
    return len((made - plain) & pairs), len(made - plain), len(made & pairs), len(wrong)


def check(results: Sequence[tuple[int, int, int, int]]) -> None:
    found, made, right, wrong = np.sum(results, axis=0)
    print(f"recall {found}/{made}, precision {right}/{right + wrong}")
    assert found >= 0.95 * made
    assert right >= 0.9 * (right + wrong)


@pytest.mark.data
def test_one_copy_in_a_hundred_is_found_in_real_pictures(ct: Any) -> None:
    check([trial(ct, seed, 20, extreme=False) for seed in range(3)])


@pytest.mark.data
def test_the_worst_that_is_asked_for_is_found_in_real_pictures(ct: Any) -> None:
    check([trial(ct, 100, 200, extreme=True)])


@pytest.mark.slow
@pytest.mark.data
def test_one_copy_in_a_hundred_is_found_whatever_the_seed(ct: Any) -> None:
    check([trial(ct, seed, 20, extreme=False) for seed in range(3, 33)])
    check([trial(ct, seed, 200, extreme=True) for seed in range(101, 106)])


@pytest.mark.data
def test_breastmnist_holds_many_copies_across_its_splits(data_root: Path) -> None:
    """Looked at by eye: the 30 least similar, but for the very least (19, 237), show one scan."""
    arrays = np.load(data_root / "medmnist" / "breastmnist.npz")
    pictures = [arrays[f"{split}_images"] for split in ("train", "val", "test")]
    split = np.repeat([0, 1, 2], [len(p) for p in pictures])
    pairs = near_duplicates(np.concatenate(pictures)[:, None])
    assert 200 <= len(pairs) <= 240
    assert sum(split[p.first] != split[p.second] for p in pairs) >= 60
