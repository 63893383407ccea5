"""Opening what a folder holds: regular files below it alone, bounded, members of zip too.

No message of this module holds a path: names of files may hold names of people.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
import zipfile
import zlib
from functools import lru_cache
from typing import NamedTuple

from medimg.data.pixels import PIXEL_CAP
from medimg.data.sources.guard import INFLATION_CAP
from medimg.errors import PixelError

#: Larger files are refused: a worker holds a file and its pixels in memory at once.
FILE_CAP = 2 << 30
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_STORED, _DEFLATED, _ENCRYPTED = 0, 8, 1
_AGAIN = "copy or export the file again"
_REMEMBERED = 4


class _Stamp(NamedTuple):
    """A file as it was when it was opened."""

    device: int
    inode: int
    size: int
    mtime_ns: int


class _Entry(NamedTuple):
    """Where a member of a zip archive stands."""

    offset: int
    method: int
    flags: int
    packed: int
    size: int
    crc: int


#: Reading the directory of an archive takes longer than reading one of its members.
_DIRECTORIES: dict[_Stamp, dict[str, _Entry]] = {}


def read_bytes(path: str, member: str | None = None, root: str | None = None) -> bytes:
    """Return the bytes of a file, or of one member of a zip archive.

    Parameters
    ----------
    path : str
    member : str, optional
        The name of a member of the zip archive `path`.
    root : str, optional
        The folder that the file must lie in, once links are followed.

    Raises
    ------
    PixelError
        ``not_found``, ``not_regular``, ``not_permitted``, ``too_large``; for members
        ``corrupt`` and ``unsupported`` too.
    """
    descriptor, status = open_regular(path, root)
    try:
        if member is not None:
            return _member(descriptor, status, member)
        if status.st_size > FILE_CAP:
            raise _too_large("the file", status.st_size)
        return _pread(descriptor, status.st_size, 0)
    except OSError as error:
        raise refusal(error) from error
    finally:
        os.close(descriptor)


def open_regular(path: str, root: str | None = None) -> tuple[int, os.stat_result]:
    """Open a regular file for reading; return its descriptor and its status.

    Anything else is refused unopened: opening a FIFO waits for ever or wakes its writer, and
    opening a device may act on it. The file is looked at again once it is open, since it may
    have been exchanged in between. The caller closes the descriptor.

    Raises
    ------
    PixelError
        ``not_found``, ``not_regular``; ``not_permitted`` also where a link leads out of `root`.
    """
    try:
        _check_regular(os.stat(path))  # noqa: PTH116 - a fifth of the time of Path.stat
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except (OSError, ValueError) as error:
        raise refusal(error) from error
    try:
        status = os.fstat(descriptor)
        _check_regular(status)
        if root is not None and not _lies_in(descriptor, path, root):
            raise PixelError(
                "not_permitted",
                "the file is a link that leads out of the folder",
                remedy="copy what it points to into the folder",
            )
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, status


def refusal(error: OSError | ValueError) -> PixelError:
    """Return the refusal, without the path, that fits an error of opening or reading."""
    number = error.errno if isinstance(error, OSError) else errno.EINVAL
    if number in (errno.EACCES, errno.EPERM):
        return PixelError(
            "not_permitted", "the file may not be read", remedy="give yourself the right to read it"
        )
    if number == errno.EISDIR:
        return PixelError("not_regular", "the file is a folder", remedy="name a file")
    if number in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EINVAL, errno.ELOOP):
        return PixelError("not_found", "the file is not there", remedy="check the path")
    name = errno.errorcode.get(number or 0, "no number")
    return PixelError("corrupt", f"the file cannot be read ({name})", remedy=_AGAIN)


def _check_regular(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise PixelError(
            "not_regular",
            "the file is no regular file",
            remedy="name a file, not a folder, FIFO, device or socket",
        )


def _lies_in(descriptor: int, path: str, root: str) -> bool:
    """Whether an open file lies below a folder; links within the folder are lawful."""
    try:
        real = _opened_path(descriptor)
    except OSError:
        real = os.path.realpath(path)
    if _below(real, _real_root(root)):
        return True
    _real_root.cache_clear()  # the folder may itself be a link, and have been turned
    return _below(real, _real_root(root))


def _opened_path(descriptor: int) -> str:
    """Return where the kernel found an open file: a tenth of the time of realpath, and no race."""
    return os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115


def _below(path: str, folder: str) -> bool:
    return path.startswith(folder.rstrip("/") + "/")


@lru_cache(maxsize=64)
def _real_root(root: str) -> str:
    return os.path.realpath(root)


def _pread(descriptor: int, count: int, offset: int) -> bytes:
    """Return up to `count` bytes from `offset`; fewer where the file ends before."""
    piece = os.pread(descriptor, count, offset)
    if len(piece) == count or not piece:
        return piece
    pieces = [piece]  # Linux reads 2 GiB less a page at most, network file systems less
    while piece:
        offset, count = offset + len(piece), count - len(piece)
        piece = os.pread(descriptor, count, offset)
        pieces.append(piece)
    return b"".join(pieces)


def _too_large(what: str, size: int) -> PixelError:
    return PixelError(
        "too_large",
        f"{what} takes {size:,} bytes, more than the cap",
        remedy="split it into smaller files",
    )


def _member(descriptor: int, status: os.stat_result, name: str) -> bytes:
    """Return one member of a zip archive (APPNOTE.TXT 4.3), stored or deflated."""
    stamp = _Stamp(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    entry = _directory(descriptor, stamp).get(name)
    if entry is None:
        raise PixelError(
            "not_found", "the archive has no such member", remedy="index the folder again"
        )
    if entry.flags & _ENCRYPTED or entry.method not in (_STORED, _DEFLATED):
        raise PixelError(
            "unsupported",
            "the member of the archive is encrypted, or packed by an unusual method",
            remedy="unpack the archive",
        )
    if entry.size > FILE_CAP or entry.size > max(PIXEL_CAP, INFLATION_CAP * entry.packed):
        raise _too_large("the member of the archive", entry.size)
    packed = _packed(descriptor, entry, stamp.size)
    data = packed if entry.method == _STORED else _inflated(packed, entry.size)
    if len(data) != entry.size or zlib.crc32(data) != entry.crc:
        raise _damaged()
    return data


def _packed(descriptor: int, entry: _Entry, end: int) -> bytes:
    """Return a member as it stands in an archive of `end` bytes, whatever the directory claims."""
    if entry.offset < 0:
        raise _damaged()
    head = _pread(descriptor, _LOCAL_HEADER.size, entry.offset)
    if len(head) < _LOCAL_HEADER.size or not head.startswith(b"PK\x03\x04"):
        raise _damaged()
    _, name, extra = _LOCAL_HEADER.unpack(head)
    start = entry.offset + _LOCAL_HEADER.size + name + extra
    if start + entry.packed > end:
        raise _damaged()
    return _pread(descriptor, entry.packed, start)


def _inflated(packed: bytes, size: int) -> bytes:
    """Return at most one byte more than `size`, however much there is."""
    try:
        return zlib.decompressobj(wbits=-15).decompress(packed, size + 1)
    except zlib.error as error:
        raise _damaged() from error


def _directory(descriptor: int, stamp: _Stamp) -> dict[str, _Entry]:
    """Return the members of an archive by name; the last few archives are remembered."""
    known = _DIRECTORIES.get(stamp)
    if known is None:
        while len(_DIRECTORIES) >= _REMEMBERED:
            del _DIRECTORIES[next(iter(_DIRECTORIES))]
        known = _DIRECTORIES[stamp] = _read_directory(descriptor)
    return known


def _read_directory(descriptor: int) -> dict[str, _Entry]:
    try:
        with open(descriptor, "rb", closefd=False) as handle, zipfile.ZipFile(handle) as archive:
            return {
                info.filename: _Entry(
                    info.header_offset,
                    info.compress_type,
                    info.flag_bits,
                    info.compress_size,
                    info.file_size,
                    info.CRC,
                )
                for info in archive.infolist()
            }
    except MemoryError:
        raise
    except Exception as error:  # zipfile raises half a dozen types on damaged archives
        raise PixelError("corrupt", "the archive is damaged", remedy=_AGAIN) from error


def _damaged() -> PixelError:
    return PixelError("corrupt", "the member of the archive is damaged", remedy=_AGAIN)
