"""What a DICOMDIR references and is not there (PS3.10 8.6)."""

from __future__ import annotations

import os
from collections.abc import Container, Iterator, Sequence

from medimg.data.sources.dicom.headers.found import File, is_local
from medimg.data.sources.dicom.headers.tags import plain
from medimg.errors import PixelError


def broken(
    references: Sequence[Sequence[str]], file: File, root: str, there: Container[str]
) -> Iterator[tuple[str, PixelError]]:
    """Yield source and refusal of each reference that leads to no file of the folder.

    Parameters
    ----------
    references : sequence of sequences of str
        The components of each file id, as they stand in the directory.
    file : File
        The directory.
    there : container of str
        The sources that are there, as they are and in lower case.
    """
    inside = len(file.path) if file.member is not None else -1
    folder = file.source[: max(file.source.rfind("/"), inside) + 1]
    for number, components in enumerate(references):
        if not is_local("/".join(components)) or any("/" in part for part in components):
            yield f"{file.source}#reference {number}", _outside()
            continue
        source = folder + plain("/".join(components))
        if source in there or source.lower() in there:
            continue
        if file.member is not None or not os.path.lexists(f"{root}/{source}"):
            yield source, _missing()


def _outside() -> PixelError:
    return PixelError(
        "not_permitted",
        "the directory references a file outside its folder",
        remedy="copy the medium again, with its DICOMDIR",
    )


def _missing() -> PixelError:
    return PixelError(
        "not_found",
        "the directory references a file that is not there",
        remedy="copy the medium again; files are missing",
    )
