"""Other people's decoders for `make_dicom_expected.py`, each by its command-line tool."""

from __future__ import annotations

import subprocess
import tempfile
import zlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
from dicom_values import Element, Image, Unreadable, header, image_of, native, rgb, significant

JPEG = {f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 57, 70)}
LOSSY_JPEG = {f"1.2.840.10008.1.2.4.{n}" for n in (50, 51)}
JPEG_LS = {f"1.2.840.10008.1.2.4.{n}" for n in (80, 81)}
JPEG_2000 = {f"1.2.840.10008.1.2.4.{n}" for n in (90, 91)}
HTJ2K = {f"1.2.840.10008.1.2.4.{n}" for n in (201, 202, 203)}
RLE = "1.2.840.10008.1.2.5"
DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"
ENCAPSULATED = JPEG | JPEG_LS | JPEG_2000 | HTJ2K | {RLE, DEFLATED_FRAMES}


class Undecided(Exception):
    """A person has to look."""


Planes = tuple[np.ndarray, str]


def ran(*command: str | Path) -> bool:
    """Run a tool; return whether it succeeded."""
    return subprocess.run(command, capture_output=True, timeout=120, check=False).returncode == 0


def explicit(path: Path, *tool: str) -> Image | None:
    """Return the uncompressed image that a tool writes, or None."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.dcm"
        if not ran(*tool, path, out) or not out.exists():
            return None
        try:
            return image_of(*header(out.read_bytes()))
        except Unreadable:
            return None


def converted(path: Path, *tool: str, like: Image) -> Planes | None:
    """Return stored values and their colour space by a tool that writes uncompressed DICOM."""
    image = explicit(path, *tool)
    if image is None or image.shape != like.shape or image.pixels.fragments:
        return None
    try:
        space = image.photometric if image.samples > 1 else ""
        return native(image._replace(signed=like.signed)), space
    except ValueError:
        return None


def frames_of(image: Image) -> list[bytes]:
    """Return the codestream of each frame (PS3.5 A.4)."""
    table, *fragments = image.pixels.fragments
    if image.frames == 1:
        return [b"".join(fragments)]
    if len(fragments) == image.frames:
        return fragments
    starts = np.frombuffer(table, "<u4").tolist()
    places = np.cumsum([0, *(8 + len(f) for f in fragments)]).tolist()
    edges = [places.index(start) for start in starts] + [len(fragments)]
    return [b"".join(fragments[a:b]) for a, b in pairwise(edges)]


def signed_codestream(image: Image) -> bool:
    """Return whether a JPEG 2000 codestream says that it is signed (ISO/IEC 15444-1 A.5.1)."""
    if image.syntax not in JPEG_2000 | HTJ2K:
        return False
    frame = frames_of(image)[0]
    return frame[frame.index(b"\xff\x4f\xff\x51") + 42] > 127


def precision_of_jpeg(image: Image) -> int:
    """Return the bits of a lossy JPEG's samples (ISO/IEC 10918-1 B.2.2); 0 of all else."""
    if image.syntax not in LOSSY_JPEG:
        return 0
    frame = frames_of(image)[0]
    return frame[min(frame.find(m) for m in (b"\xff\xc0", b"\xff\xc1") if m in frame) + 4]


def by_frame(image: Image, tool: Callable[[bytes, Image], np.ndarray]) -> Planes | None:
    """Return the stored values of a decoder that takes one codestream at a time."""
    try:
        planes = [tool(frame, image) for frame in frames_of(image)]
        words = np.stack(planes).reshape(image.shape)
    except (ValueError, OSError, zlib.error):
        return None
    return significant(words, image), "RGB" if image.samples > 1 else ""


def opj_decompress(frame: bytes, image: Image) -> np.ndarray:
    """Return the samples of a JPEG 2000 codestream, interleaved, modulo their bits."""
    start = frame.index(b"\xff\x4f\xff\x51")
    precision = frame[start + 42]
    kind = f"<{'i' if precision & 128 else 'u'}{1 if (precision & 127) < 8 else 2}"
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "x.j2k", Path(folder) / "x.rawl"
        source.write_bytes(frame[start:])
        if not ran("opj_decompress", "-i", source, "-o", out):
            raise ValueError("not decoded")
        planes = np.frombuffer(out.read_bytes(), kind).astype(np.int64)
    return np.moveaxis(planes.reshape(image.samples, image.rows, image.columns), 0, -1)


def ojph_expand(frame: bytes, image: Image) -> np.ndarray:
    """Return the samples of an HTJ2K codestream, interleaved."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "x.j2c"
        out = Path(folder) / ("x.ppm" if image.samples > 1 else "x.pgm")
        source.write_bytes(frame[frame.index(b"\xff\x4f\xff\x51") :])
        if not ran("ojph_expand", "-i", source, "-o", out):
            raise ValueError("not decoded")
        count = image.rows * image.columns * image.samples
        wide = 2 if image.bits > 8 else 1
        body = out.read_bytes()[-count * wide :]
    return np.frombuffer(body, f">u{wide}").astype(np.int64)


def inflated(frame: bytes, image: Image) -> np.ndarray:
    """Return a frame of Deflated Image Frame Compression (PS3.5 A.4.13), single bits or bytes."""
    raw = zlib.decompress(frame, -15)
    return native(image._replace(pixels=Element(raw), frames=1, signed=False))[0]


def packed_bits(frame: bytes, image: Image) -> np.ndarray:
    """Return a frame of single bits in one RLE segment (PS3.5 G.3)."""
    if image.allocated != 1 or frame[:4] != b"\1\0\0\0":
        raise ValueError("not single bits")
    at, out, wanted = 64, bytearray(), -(-image.rows * image.columns // 8)
    while len(out) < wanted:
        count = frame[at]
        if count < 128:
            out += frame[at + 1 : at + 2 + count]
            at += 2 + count
        elif count > 128:
            out += frame[at + 1 : at + 2] * (257 - count)
            at += 2
        else:
            at += 1
    return native(image._replace(pixels=Element(bytes(out)), frames=1))[0]


def decoded(path: Path, image: Image) -> tuple[np.ndarray, str, str, int]:
    """Return stored values, their colour space, the decoders that agree, and a tolerance."""
    found: dict[str, Planes | None] = {}
    if not image.pixels.fragments:
        colour = image.photometric if image.samples > 1 else ""
        found["DCMTK dcmconv"] = native(image), colour
    for tool, syntaxes in (("dcmdjpeg", JPEG), ("dcmdjpls", JPEG_LS), ("dcmdrle", {RLE})):
        if image.syntax in syntaxes:
            found[f"DCMTK {tool}"] = converted(path, tool, like=image)
    if image.allocated > 1:
        found["GDCM"] = converted(path, "gdcmconv", "--raw", like=image)
    if image.syntax in JPEG_2000:
        found["OpenJPEG"] = by_frame(image, opj_decompress)
    elif image.syntax in HTJ2K:
        found["OpenJPH"] = by_frame(image, ojph_expand)
    elif image.syntax == DEFLATED_FRAMES:
        found["zlib"] = by_frame(image, inflated)
    elif image.syntax == RLE and image.allocated == 1:
        found["PackBits"] = by_frame(image, packed_bits)
    return agreed(path, image, {k: v for k, v in found.items() if v is not None})


def agreed(path: Path, image: Image, found: dict[str, Planes]) -> tuple[np.ndarray, str, str, int]:
    """Return the first result and who shares it; those who differ are printed."""
    if not found:
        raise Undecided(f"{path}: nobody decodes it ({image.syntax})")
    (values, space), *_ = found.values()
    tolerance, names = tolerance_of(image), []
    for name, (other, colour) in found.items():
        far = np.abs(rgb(other, colour, image) - rgb(values, space, image)).max()
        if colour == space and np.array_equal(other, values):
            names.append(name)
        elif far <= tolerance:
            names.append(f"{name} within {far:g}")
        else:
            print(f"{path.name}: {name} differs by up to {far} from {names}")
    return values, space, " + ".join(names), tolerance


def tolerance_of(image: Image) -> int:
    """Return how far lawful decoders may lie apart: rounding in lossy JPEG and JPEG 2000."""
    if image.syntax in LOSSY_JPEG:
        return 3
    lossy = {"1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.203"}
    return 1 if image.syntax in lossy else 0
