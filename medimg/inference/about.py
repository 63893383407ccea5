"""What the folder of a bundle says of itself, and whether its bytes are still those; no torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medimg.errors import BundleError, MedimgError
from medimg.files import fingerprint, read_json, sha256_file
from medimg.inference.members import Members

WEIGHTS, ABOUT, CARD, MEMBERS = "weights.safetensors", "bundle.json", "card.md", "members.json"
_AGAIN = "copy the bundle again from where it was made"


def read_about(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Return `bundle.json`.

    Raises
    ------
    BundleError
        Absent, altered (by its own SHA-256) or of another version.
    """
    path = Path(folder) / ABOUT
    if not path.is_file():
        raise BundleError(
            f"{folder} holds no {ABOUT}, so it is no finished bundle",
            remedy="name the folder `bundle` of a finished run",
        )
    try:
        about: dict[str, Any] = read_json(path)
        stated = about.pop("sha256", None)
    except (MedimgError, AttributeError) as error:
        raise BundleError(f"{path} is unreadable", remedy="copy the bundle again") from error
    if about.get("format") != "medimg.bundle" or about.get("format_version") != 1:
        raise BundleError(
            f"{path}: format {about.get('format')!r}, version {about.get('format_version')!r}",
            remedy="this medimg reads medimg.bundle, version 1",
        )
    if stated != fingerprint(about):
        raise BundleError(
            f"{path} was altered (its SHA-256 is not the one it states)", remedy=_AGAIN
        )
    return about


def checked_file(folder: str | os.PathLike[str], about: Mapping[str, Any], name: str) -> Path:
    """Return the path of a file of a bundle whose bytes are those that `about` states."""
    path = Path(folder) / name
    if not path.is_file() or sha256_file(path) != about["files"][name]:
        raise BundleError(
            f"{path} is missing or was altered (its SHA-256 is not the bundle's)", remedy=_AGAIN
        )
    return path


def read_members(folder: str | os.PathLike[str], about: Mapping[str, Any]) -> Members | None:
    """Return who made the model; None where the bundle keeps no record, as older ones do not."""
    if MEMBERS not in about["files"]:
        return None
    path = checked_file(folder, about, MEMBERS)
    try:
        return Members.from_dict(read_json(path))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(
            f"{path} is no record of members of this version", remedy="use a newer medimg"
        ) from error
