"""Public data sets to train on: fetched with their checksum compared, or found where they lie."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import io
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medimg.data.sources.medmnist_sets import SETS, set_name
from medimg.errors import DataError, SourceNotFound, UsageError, nearest
from medimg.files import replacing, write_bytes
from medimg.progress import Progress

#: All that `fetch` knows by name.
NAMES = ("digits", "mnist", "fashion-mnist", *SETS)
_TIMEOUT_S = 60
_CHUNK = 1 << 20


class Resource(NamedTuple):
    """One file to fetch: where it may be had, where it goes, and its MD5."""

    urls: tuple[str, ...]
    path: Path
    md5: str


def fetch(
    name: str, folder: str | os.PathLike[str] | None = None, *, url: str | None = None
) -> Path:
    """Fetch a data set and return its file or folder; what is there and right is kept.

    Parameters
    ----------
    name : str
        A set of MedMNIST (``breastmnist``; ``breastmnist_64`` for its 64 px), ``mnist``,
        ``fashion-mnist``, or ``digits`` (made of what scikit-learn carries, offline).
    folder : path, optional
        Default: ``$MEDIMG_DATA`` where it is set and may be written, else ``./data``. MedMNIST
        goes to ``FOLDER/medmnist``, the IDX files to ``FOLDER/mnist``.
    url : str, optional
        Fetch from here instead: the file, or the folder of the IDX files. The checksum stays.

    Raises
    ------
    UsageError
        An unknown name, or the extra ``data`` is not installed.
    DataError
        Not to be had, or another checksum; says what to fetch by hand and where to put it.
    """
    name = name.lower()
    base = _default_folder() if folder is None else Path(folder)
    if name == "digits":
        return _write_digits(base / "digits.npz")
    if name in ("mnist", "fashion-mnist"):
        resources = _idx_resources(name, base / name, url)
    else:
        resources = [_medmnist_resource(name, base / "medmnist", url)]
    for resource in resources:
        _download(resource)
    return base / name if len(resources) > 1 else resources[0].path


def find_data(source: str, extra: Sequence[Path] = ()) -> Path:
    """Return where a source lies: the first of the places below that holds it.

    The current folder, each of `extra`, ``$MEDIMG_DATA``, ``./data``.

    Raises
    ------
    SourceNotFound
        Lists each place, and says how to get the data.
    """
    wanted = Path(source).expanduser()
    places = [Path()] if wanted.is_absolute() else _places(extra)
    for place in places:
        if (place / wanted).exists():
            return place / wanted
    tried = [str((place / wanted).absolute()) for place in places]
    raise SourceNotFound(
        f"{source} is not there; looked for {', '.join(dict.fromkeys(tried))}",
        remedy=_how_to_get(wanted),
    )


def _places(extra: Sequence[Path]) -> list[Path]:
    data = os.environ.get("MEDIMG_DATA")
    return [Path(), *map(Path, extra), *([Path(data).expanduser()] if data else []), Path("data")]


def _how_to_get(wanted: Path) -> str:
    for name in (set_name(wanted), wanted.parent.name, wanted.name):
        if name in NAMES:
            return (
                f"get it with `medimg fetch {name}`, or set MEDIMG_DATA to the folder of your data"
            )
    return f"check the path{nearest(wanted.name, NAMES)}"


def _default_folder() -> Path:
    data = os.environ.get("MEDIMG_DATA")
    if data and os.access(Path(data).expanduser(), os.W_OK):
        return Path(data).expanduser()
    return Path("data")


def _medmnist_resource(name: str, folder: Path, url: str | None) -> Resource:
    stem, _, size = name.partition("_")
    if stem not in SETS:
        raise UsageError(
            f"no data set {name!r} is known{nearest(name, NAMES)}",
            remedy=f"one of {', '.join(NAMES)}",
        )
    try:
        from medmnist import INFO
    except ImportError as error:
        raise UsageError(
            "the addresses of MedMNIST are in the package medmnist, which is not installed",
            remedy="pip install 'medimg[data]'",
        ) from error
    about, key = INFO[stem], f"_{size}" if size else ""
    if f"url{key}" not in about:
        sizes = [k.removeprefix("url_") for k in about if k.startswith("url_")]
        raise UsageError(
            f"{stem} has no size {size!r}", remedy=f"leave it out (28), or one of {sizes}"
        )
    return Resource((url or about[f"url{key}"],), folder / f"{name}.npz", about[f"MD5{key}"])


def _idx_resources(name: str, folder: Path, url: str | None) -> list[Resource]:
    from torchvision.datasets import MNIST, FashionMNIST

    kind = MNIST if name == "mnist" else FashionMNIST
    mirrors = [f"{url.rstrip('/')}/"] if url else kind.mirrors
    return [
        Resource(tuple(mirror + file for mirror in mirrors), folder / file, md5)
        for file, md5 in kind.resources
    ]


def _download(resource: Resource) -> None:
    """Fetch one file from the first address that answers; never leave a wrong one behind."""
    if resource.path.is_file() and _md5(resource.path) == resource.md5:
        return
    failures = []
    for url in resource.urls:
        try:
            _download_from(url, resource)
            return
        except DataError as error:
            failures.append(error.message)
    raise DataError(
        f"{resource.path.name} could not be fetched: {'; '.join(failures)}",
        remedy=f"fetch {resource.urls[0]} by hand (MD5 {resource.md5}) and put it at "
        f"{resource.path}",
    )


def _download_from(url: str, resource: Resource) -> None:
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise UsageError(f"{url} is no web address", remedy="give one of http or https")
    with replacing(resource.path) as temporary:
        try:
            found = _stream(url, temporary, resource.path.name)
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise DataError(f"{url}: {_reason(error)}", remedy="check the network") from error
        if found != resource.md5:
            raise DataError(
                f"{url} gave a file of MD5 {found}, not {resource.md5}", remedy="try again later"
            )


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        with contextlib.closing(error):
            return f"HTTP {error.code} {error.reason}"
    return str(getattr(error, "reason", None) or error or type(error).__name__)


def _stream(url: str, path: Path, label: str) -> str:
    """Write what `url` gives to `path` and return its MD5."""
    digest = hashlib.md5(usedforsecurity=False)
    with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer, path.open("wb") as handle:
        size = int(answer.headers.get("Content-Length") or 0)
        with Progress(f"fetching {label}", size, "bytes") as progress:
            while piece := answer.read(_CHUNK):
                handle.write(piece)
                digest.update(piece)
                progress.advance(len(piece))
    return digest.hexdigest()


def _md5(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _write_digits(path: Path) -> Path:
    """Write scikit-learn's digits (UCI, 8x8) as an npz in the manner of MedMNIST.

    Grey 0..16 becomes 0..255; a fifth of each digit, drawn with seed 0, is the test split.
    """
    from sklearn.datasets import load_digits

    data = load_digits()
    images = np.round(data.images * 255 / 16).astype(np.uint8)
    labels = data.target.astype(np.uint8)
    test = _a_fifth_of_each(labels)
    packed = io.BytesIO()
    np.savez(
        packed,
        train_images=images[~test],
        train_labels=labels[~test, None],
        test_images=images[test],
        test_labels=labels[test, None],
    )
    if not (path.is_file() and path.read_bytes() == packed.getvalue()):
        write_bytes(path, packed.getvalue())
    return path


def _a_fifth_of_each(labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    generator = np.random.default_rng(0)
    test = np.zeros(len(labels), bool)
    for digit in np.unique(labels):
        rows = generator.permutation(np.flatnonzero(labels == digit))
        test[rows[: round(len(rows) / 5)]] = True
    return test
