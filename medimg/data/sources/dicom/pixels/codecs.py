"""The pinned decoders: one encoded frame in, its words out (PS3.5 8.2).

Each checks what the codestream says of itself against the header before it decodes anything,
and none of them shifts or masks: `stored` does that.
"""

from __future__ import annotations

import zlib
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from medimg.data.sources.dicom.pixels import codestream
from medimg.data.sources.dicom.pixels.codestream import Codestream
from medimg.data.sources.dicom.pixels.dataset import corrupt
from medimg.data.sources.dicom.pixels.entropy import MIXED, check_lossless, open_ended
from medimg.data.sources.dicom.pixels.image import ImagePixel
from medimg.data.sources.dicom.pixels.native import one_bit
from medimg.data.sources.dicom.pixels.rle import rle_bytes
from medimg.errors import PixelError


class Words(NamedTuple):
    """Words (H, W) or (H, W, 3), the bits the coding speaks of, the colour space, the sign."""

    array: NDArray[Any]
    precision: int
    photometric: str
    signed: bool = False


_PROCESSES = {0xC0: "baseline", 0xC1: "extended", 0xC2: "progressive", 0xC3: "lossless"}


def _check(stream: Codestream, image: ImagePixel) -> None:
    """Refuse a codestream that is not what the header says, before it is decoded (PS3.5 8.2).

    More bits than are stored are lawful as long as they were allocated, and so are fewer.
    """
    size = (stream.rows, stream.columns, stream.components)
    if size != (image.rows, image.columns, image.samples):
        raise corrupt(
            f"a codestream of {size[0]} x {size[1]} x {size[2]} where the header says "
            f"{image.rows} x {image.columns} x {image.samples}"
        )
    if not 0 < stream.precision <= max(8, image.allocated):
        raise corrupt(f"{stream.precision} bits where {image.allocated} are allocated")


def _shaped(data: bytes | bytearray, image: ImagePixel, precision: int) -> NDArray[Any]:
    """Return words (H, W) or (H, W, 3) of pixels one after the other, little endian."""
    kind = np.dtype("<u1" if precision <= 8 else "<u2" if precision <= 16 else "<u4")
    shape = (image.rows, image.columns) if image.samples == 1 else (image.rows, image.columns, 3)
    if len(data) != image.rows * image.columns * image.samples * kind.itemsize:
        raise corrupt(f"a frame of {len(data):,} bytes after decoding")
    return np.frombuffer(data, kind).reshape(shape)


def jpeg(frame: bytes, image: ImagePixel) -> Words:
    """Decode 8-bit sequential JPEG (PS3.5 8.2.1) by libjpeg-turbo, as Pillow brings it.

    libjpeg is told what the colours are, since it guesses YCbCr wherever the stream says
    nothing: the stream counts first, then the header.
    """
    stream = codestream.jpeg(frame)
    _check(stream, image)
    if stream.precision != 8 or stream.process not in (0xC0, 0xC1):
        kind = f"{stream.precision}-bit " + _PROCESSES.get(stream.process, "other")
        raise PixelError(
            "unsupported",
            f"no decoder for {kind} JPEG",
            remedy="convert the file to Explicit VR Little Endian",
        )
    ybr = image.photometric != "RGB" if stream.ybr is None else stream.ybr
    words = _by_pillow(open_ended(frame), image, ybr=ybr)
    again = _by_pillow(open_ended(frame, MIXED), image, ybr=ybr)
    if not np.array_equal(words, again):
        raise corrupt("a frame ends before its last pixel")
    return Words(words, 8, image.photometric if image.samples == 1 else "RGB")


def _by_pillow(frame: bytes, image: ImagePixel, *, ybr: bool) -> NDArray[np.uint8]:
    """Return (H, W), or (H, W, 3) in RGB, of colours that are YCbCr or RGB."""
    from PIL.JpegImagePlugin import JpegImageFile

    picture = JpegImageFile(BytesIO(frame))
    if image.samples == 3:
        picture.tile = [picture.tile[0]._replace(args=("RGB", "YCbCr" if ybr else "RGB"))]
    words = np.asarray(picture)
    shape = (image.rows, image.columns, 3)[: 2 if image.samples == 1 else 3]
    if words.shape != shape or words.dtype != np.uint8:
        raise corrupt("a frame of another shape than its header")
    return words


def jpeg_lossless(frame: bytes, image: ImagePixel) -> Words:
    """Decode JPEG lossless (PS3.5 8.2.1, process 14) by GDCM, which may die of a broken one."""
    import gdcm

    stream = codestream.jpeg(frame)
    _check(stream, image)
    if stream.process != 0xC3:
        raise corrupt("a frame that is no lossless JPEG")
    allocated = 8 if stream.precision <= 8 else 16
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(frame)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    picture = gdcm.Image()
    picture.SetNumberOfDimensions(2)
    picture.SetDimensions((image.columns, image.rows, 1))
    picture.SetDataElement(element)
    space = gdcm.PhotometricInterpretation.GetPIType("RGB" if image.samples == 3 else "MONOCHROME2")
    picture.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(space))
    if image.samples == 3:
        picture.SetPlanarConfiguration(0)
    syntax = gdcm.TransferSyntax.GetTSType("1.2.840.10008.1.2.4.57")
    picture.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    picture.SetPixelFormat(
        gdcm.PixelFormat(image.samples, allocated, stream.precision, stream.precision - 1, 0)
    )
    data = picture.GetBuffer().encode("utf-8", "surrogateescape")  # GDCM hands out a char*
    space_of = "RGB" if stream.ybr is False and image.samples == 3 else image.photometric
    words = _shaped(data, image, stream.precision)
    check_lossless(frame, words, stream.precision)
    return Words(words, stream.precision, space_of)


def jpeg_ls(frame: bytes, image: ImagePixel) -> Words:
    """Decode JPEG-LS (PS3.5 8.2.3) by CharLS; interleave mode 0 is plane after plane."""
    import jpeg_ls as charls

    stream = codestream.jpeg(frame)
    _check(stream, image)
    if stream.process != 0xF7:
        raise corrupt("a frame that is no JPEG-LS")
    try:
        data, info = charls.decode_pixel_data(frame)
    except RuntimeError:
        # Some writers fill up to an even length before the end marker instead of after it.
        if frame.rstrip(b"\0")[-3:] != b"\0\xff\xd9":
            raise
        data, info = charls.decode_pixel_data(frame.rstrip(b"\0")[:-3] + b"\xff\xd9")
    words = _shaped(data, image, stream.precision)
    if image.samples == 3 and info["interleave_mode"] == 0:
        words = words.reshape(3, image.rows, image.columns).transpose(1, 2, 0)
    return Words(words, stream.precision, image.photometric)


def jpeg_2000(frame: bytes, image: ImagePixel) -> Words:
    """Decode JPEG 2000 or HTJ2K (PS3.5 8.2.4, 8.2.14) by OpenJPEG, which undoes YBR_ICT, YBR_RCT."""
    from openjpeg.utils import decode_pixel_data

    stream = codestream.j2k(frame)
    _check(stream, image)
    data = bytes(decode_pixel_data(frame, version=2))
    space = "RGB" if image.photometric in ("YBR_ICT", "YBR_RCT") else image.photometric
    words = _shaped(data, image, stream.precision)
    return Words(words, stream.precision, space, stream.signed)


def rle(frame: bytes, image: ImagePixel) -> Words:
    """Decode RLE (PS3.5 8.2.2, annex G); it keeps three whole planes of YBR_FULL_422."""
    pixels = image.rows * image.columns
    if image.allocated == 1:
        packed = rle_bytes(frame, (pixels + 7) // 8, 1, 1).reshape(-1)
        return Words(one_bit(packed, image), 1, image.photometric)
    width = image.allocated // 8
    planes = rle_bytes(frame, pixels, image.samples, width)
    words = planes.view(f"<u{width}").reshape(image.samples, image.rows, image.columns)
    space = "YBR_FULL" if image.photometric == "YBR_FULL_422" else image.photometric
    words = words[0] if image.samples == 1 else words.transpose(1, 2, 0)
    return Words(words, image.allocated, space)


def deflated(frame: bytes, image: ImagePixel) -> Words:
    """Decode Deflated Image Frame Compression (PS3.5 8.2.16): native frames, each deflated."""
    bits = image.rows * image.columns * image.samples * image.allocated
    size = (bits + 7) // 8
    machine = zlib.decompressobj(-zlib.MAX_WBITS)
    data = machine.decompress(frame, size + 2)
    if not size <= len(data) <= size + size % 2:
        raise corrupt(f"a deflated frame of {len(data):,} bytes where {size:,} are needed")
    if image.allocated == 1:
        return Words(one_bit(np.frombuffer(data, np.uint8), image), 1, image.photometric)
    words = _shaped(data[:size], image, image.allocated)
    if image.planar == 1:
        words = words.reshape(3, image.rows, image.columns).transpose(1, 2, 0)
    return Words(words, image.allocated, image.photometric)
