"""PNG, JPEG, TIFF and BMP: one picture a file, decoded by Pillow, grey or RGB.

Pillow's plugins are named one by one: none of its other fifty formats is ever tried, and the
size is checked against medimg's own cap before anything is decoded.
"""

from __future__ import annotations

import contextlib
import struct
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medimg.data.pixels import Pixels, check_cap
from medimg.data.sources.guard import (
    Stamp,
    corrupt,
    guarded,
    nominal_range,
    row_number,
    unsupported,
)
from medimg.errors import PixelError

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
JPEG_MAGIC = b"\xff\xd8\xff"
TIFF_MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_DIB_HEADERS = (12, 40, 52, 56, 64, 108, 124)
_ORIENTATION = 0x0112
_SAMPLE_FORMAT, _PHOTOMETRIC, _BITS_PER_SAMPLE, _PLANAR = 339, 262, 258, 284
_GREY_TO_RGBA = {"P": "RGBA", "PA": "RGBA", "RGBa": "RGBA", "La": "LA", "YCbCr": "RGB"}

#: EXIF orientation -> how (..., H, W) is turned upright (Exif 2.32, tag 0x0112).
_UPRIGHT: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    2: lambda a: a[..., ::-1],
    3: lambda a: a[..., ::-1, ::-1],
    4: lambda a: a[..., ::-1, :],
    5: lambda a: a.swapaxes(-1, -2),
    6: lambda a: a.swapaxes(-1, -2)[..., ::-1],
    7: lambda a: a.swapaxes(-1, -2)[..., ::-1, ::-1],
    8: lambda a: a.swapaxes(-1, -2)[..., ::-1, :],
}


def kind_of(head: bytes) -> str | None:
    """Return ``"png"``, ``"jpeg"``, ``"tiff"`` or ``"bmp"`` for the first bytes of a file."""
    if head.startswith(PNG_MAGIC):
        return "png"
    if head.startswith(JPEG_MAGIC):
        return "jpeg"
    if head.startswith(TIFF_MAGICS):
        return "tiff"
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _DIB_HEADERS:
        return "bmp"
    return None


def read(file: Stamp, member: str | None, frame: str) -> Pixels:
    """Return the picture of a file, upright, float32 (1, H, W) or (3, H, W).

    Palettes become RGB. Alpha is laid over black, and where it is 0 `valid` is False. 16-bit
    grey keeps its 16 bits; colours of 16 bits, 32-bit numbers, CMYK and Lab are refused.
    """
    if member is not None:
        raise PixelError("not_found", f"{file.path} has no members", remedy="leave # out")
    with guarded(file.path), Path(file.path).open("rb") as handle, _quiet_pillow():
        kind = kind_of(handle.read(32))
        if kind == "png":
            _check_png(handle, file.path)
        handle.seek(0)
        image = _open(kind, handle, file.path)
        image.seek(row_number(frame, getattr(image, "n_frames", 1), file.path))
        check_cap((len(image.getbands()), image.height, image.width))
        _refuse_mode(image, file.path)
        meaning = dict(getattr(image, "tag_v2", {}))
        _check_cover(image, meaning, file.path)
        image.load()
        return _pixels(image, meaning, file.path)


def _refuse_mode(image: ImageFile, path: str) -> None:
    """Refuse what Pillow could only give back with less meaning than the file has."""
    raw = [str(t.args[0] if isinstance(t.args, tuple) else t.args) for t in image.tile]
    if image.mode in ("RGB", "RGBA") and any(";16" in mode for mode in raw):
        raise unsupported(path, "colours of 16 bits", "save it as 8-bit RGB, or as 16-bit grey")
    if image.mode == "F":
        raise unsupported(
            path, "float pixels have no range that all pictures share", "save it as 16-bit grey"
        )
    if image.mode in ("CMYK", "LAB", "HSV"):
        raise unsupported(path, f"colours in {image.mode}", "save it as RGB or grey")


def _check_cover(image: ImageFile, tags: dict[int, Any], path: str) -> None:
    """Refuse a TIFF whose strips or tiles leave a part of it out: Pillow would paint it black."""
    covered = sum(
        (t.extents[2] - t.extents[0]) * (t.extents[3] - t.extents[1])
        for t in image.tile
        if t.extents
    )
    packed = any(t.codec_name == "libtiff" for t in image.tile)
    layers = len(image.getbands()) if tags.get(_PLANAR) == 2 and not packed else 1
    if covered < layers * image.width * image.height:
        raise corrupt(path, "its strips or tiles cover a part of it alone")


def _open(kind: str | None, handle: IO[bytes], path: str) -> ImageFile:
    from PIL import BmpImagePlugin, JpegImagePlugin, PngImagePlugin, TiffImagePlugin

    plugins: dict[str | None, Callable[[IO[bytes]], ImageFile]] = {
        "png": PngImagePlugin.PngImageFile,
        "jpeg": JpegImagePlugin.JpegImageFile,
        "tiff": TiffImagePlugin.TiffImageFile,
        "bmp": BmpImagePlugin.BmpImageFile,
    }
    try:
        return plugins[kind](handle)
    except SyntaxError as error:
        if "unknown pixel mode" in str(error):
            raise unsupported(
                path, "a layout of pixels that is not read", "save it as PNG"
            ) from error
        raise


def _pixels(image: ImageFile, tags: dict[int, Any], path: str) -> Pixels:
    transparent = "transparency" in image.info
    if image.mode.startswith("I"):
        array, high_bits = _grey_of_many_bits(image, tags, path)
        valid = array != image.info["transparency"] if transparent else None
        low, high = nominal_range(array.dtype, path)
        return _upright(image, array[None], valid, low, high_bits or high)
    mode = _GREY_TO_RGBA.get(image.mode, image.mode)
    if transparent and mode in ("1", "L", "RGB"):
        mode = "RGBA" if mode == "RGB" else "LA"
    planes = np.asarray(image.convert(mode) if mode != image.mode else image)
    if tags.get(_SAMPLE_FORMAT, (1,))[0] == 2 and mode == "L":
        planes = planes.view(np.int8)
    low, high = nominal_range(planes.dtype, path)
    array = planes[None] if planes.ndim == 2 else np.moveaxis(planes, -1, 0)
    if mode in ("LA", "RGBA"):
        return _upright(image, *_over_black(array), low, high)
    return _upright(image, array, None, low, high)


def _grey_of_many_bits(
    image: ImageFile, tags: dict[int, Any], path: str
) -> tuple[NDArray[Any], float | None]:
    """Return grey (H, W) of 9 to 16 bits, and its highest value where that is not the type's."""
    array = np.asarray(image)
    if image.mode == "I":
        if tags.get(_BITS_PER_SAMPLE, (32,))[0] > 16:
            raise unsupported(path, "grey of 32 bits", "save it as 16-bit grey")
        return array.astype(np.int16), None
    array = array.astype(np.uint16)
    bits = int(tags.get(_BITS_PER_SAMPLE, (16,))[0])
    if tags.get(_PHOTOMETRIC) == 0:
        # Pillow turns WhiteIsZero round for 8 bits and forgets it for 16.
        array = np.uint16(2**bits - 1) - array
    return array, float(2**bits - 1)


def _over_black(array: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Return (C, H, W) of (C + 1, H, W) laid over black, and where anything is to be seen."""
    alpha = array[-1]
    if (alpha == 255).all():
        return array[:-1], None
    laid = array[:-1].astype(np.float32) * (alpha.astype(np.float32) / 255)
    return laid, alpha > 0


def _upright(
    image: ImageFile,
    array: NDArray[Any],
    valid: NDArray[np.bool_] | None,
    low: float,
    high: float,
) -> Pixels:
    exif = image.info.get("exif", b"") if image.format in ("JPEG", "PNG") else b""
    turn = _UPRIGHT.get(orientation(exif))  # Pillow has turned a TIFF already
    if turn is not None:
        array, valid = turn(array), None if valid is None else turn(valid)
    return Pixels(np.ascontiguousarray(array, np.float32), low, high, valid=valid)


def orientation(exif: bytes) -> int:
    """Return the orientation, 1 to 8, of an EXIF block; 1 where it is absent or damaged."""
    block = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None or len(block) < 8:
        return 1
    (start,) = struct.unpack_from(f"{order}I", block, 4)
    if start + 2 > len(block):
        return 1
    (count,) = struct.unpack_from(f"{order}H", block, start)
    for offset in range(start + 2, min(start + 2 + 12 * count, len(block) - 11), 12):
        tag, type_, _, value = struct.unpack_from(f"{order}HHIH", block, offset)
        if tag == _ORIENTATION and type_ == 3 and 1 <= value <= 8:
            return int(value)
    return 1


def _check_png(handle: IO[bytes], path: str) -> None:
    """Walk the chunks of a PNG: Pillow compares no checksum of the pixels, so this does.

    Refuses damage, a missing end and an animation (PNG 3rd edition, 5.3 and 11.3.6).
    """
    handle.seek(len(PNG_MAGIC))
    name = b""
    while name != b"IEND":
        head = handle.read(8)
        if len(head) < 8:
            raise corrupt(path, "it ends before its end chunk")
        length, name = struct.unpack(">I4s", head)
        if name == b"acTL":
            raise PixelError("frames", f"{path} is animated", remedy="save each frame by itself")
        if _crc(handle, name, length) != handle.read(4):
            raise corrupt(path, f"the checksum of its {name!r} chunk is wrong")


def _crc(handle: IO[bytes], name: bytes, length: int) -> bytes:
    value = zlib.crc32(name)
    while length:
        piece = handle.read(min(length, 1 << 20))
        if not piece:
            break
        value = zlib.crc32(piece, value)
        length -= len(piece)
    return value.to_bytes(4, "big")


class _QuietPillow:
    """Pillow's warnings about odd metadata are kept off while any thread reads a picture.

    `warnings.catch_warnings` alone leaves its filter behind when two threads overlap; the
    first one in sets it and the last one out takes it off.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0
        self.catcher = warnings.catch_warnings()

    def enter(self) -> None:
        with self.lock:
            if not self.inside:
                self.catcher = warnings.catch_warnings()
                self.catcher.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")
            self.inside += 1

    def leave(self) -> None:
        with self.lock:
            self.inside -= 1
            if not self.inside:
                self.catcher.__exit__(None, None, None)


_QUIET = _QuietPillow()


@contextlib.contextmanager
def _quiet_pillow() -> Iterator[None]:
    _QUIET.enter()
    try:
        yield
    finally:
        _QUIET.leave()
