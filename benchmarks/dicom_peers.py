"""The other readers of `bench_dicom.py`, each in a process of its own.

SimpleITK and python-gdcm in one process crash it, and nobody's imports slow down anybody else.
A peer times what it is given and nothing more: paths in, a line of JSON each; seconds out.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

#: Reads all paths; the second argument names pydicom's plugin.
Reader = Callable[[Sequence[Path], str], None]


class Peer:
    """Another reader, started and ready."""

    def __init__(self, name: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __call__(self, paths: Sequence[Path], plugin: str = "") -> float:
        """Return the seconds over `paths`; NaN where the peer cannot read them, or is dead."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        task = {"paths": [str(path) for path in paths], "plugin": plugin}
        try:
            self.process.stdin.write(json.dumps(task) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return math.nan
        line = self.process.stdout.readline()
        return float(line) if line else math.nan

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.communicate()


def each(work: Callable[[Path], Any]) -> Reader:
    """Return what does `work` on each file."""

    def all_of(paths: Sequence[Path], plugin: str) -> None:
        for path in paths:
            work(path)

    return all_of


def pydicom_headers() -> Reader:
    """Return the plain loop."""
    import pydicom

    return each(partial(pydicom.dcmread, stop_before_pixels=True))


def gdcm_headers() -> Reader:
    """Return GDCM's scanner, of a few tags."""
    import gdcm

    def scan_all(paths: Sequence[Path], plugin: str) -> None:
        scanner = gdcm.Scanner()
        for tag in ((8, 0x18), (8, 0x60), (0x10, 0x20), (0x20, 0xD), (0x20, 0xE), (0x28, 0x10)):
            scanner.AddTag(gdcm.Tag(*tag))
        if not scanner.Scan([str(path) for path in paths]):
            raise ValueError("not scanned")

    return scan_all


def sitk_headers() -> Reader:
    """Return SimpleITK's reader of image information."""
    import SimpleITK

    def one(path: Path) -> None:
        reader = SimpleITK.ImageFileReader()
        reader.SetImageIO("GDCMImageIO")
        reader.SetFileName(str(path))
        reader.ReadImageInformation()

    return each(one)


def pydicom_pixels(*, modality: bool = False) -> Reader:
    """Return pydicom by one plugin: stored values, or those after the modality transform."""
    import pydicom

    def all_of(paths: Sequence[Path], plugin: str) -> None:
        for path in paths:
            dataset = pydicom.dcmread(path)
            dataset.pixel_array_options(decoding_plugin=plugin)
            array = dataset.pixel_array
            if modality:
                pydicom.pixels.apply_modality_lut(array, dataset)

    return all_of


def gdcm_pixels() -> Reader:
    """Return GDCM's image reader: stored values."""
    import gdcm

    def one(path: Path) -> Any:
        reader = gdcm.ImageReader()
        reader.SetFileName(str(path))
        if not reader.Read():
            raise ValueError("not read")
        buffer = reader.GetImage().GetBuffer()
        return np.frombuffer(buffer.encode("utf-8", "surrogateescape"), "<u2")

    return each(one)


def sitk_pixels() -> Reader:
    """Return SimpleITK: values after the rescale."""
    import SimpleITK

    return each(lambda path: SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))))


def monai_pixels() -> Reader:
    """Return MONAI's transform: values after the rescale."""
    from monai.transforms import LoadImage

    return each(LoadImage(reader="PydicomReader", image_only=True))


PEERS: dict[str, Callable[[], Reader]] = {
    "pydicom headers": pydicom_headers,
    "gdcm headers": gdcm_headers,
    "SimpleITK headers": sitk_headers,
    "pydicom": pydicom_pixels,
    "pydicom+modality": partial(pydicom_pixels, modality=True),
    "gdcm": gdcm_pixels,
    "SimpleITK": sitk_pixels,
    "MONAI": monai_pixels,
}


def serve(name: str) -> None:
    """Be a peer until nobody asks any more."""
    warnings.simplefilter("ignore")
    out, sys.stdout = sys.stdout, sys.stderr
    reader = PEERS[name]()
    for line in sys.stdin:
        task = json.loads(line)
        paths = [Path(path) for path in task["paths"]]
        start = time.perf_counter()
        try:
            reader(paths, task["plugin"])
            seconds = time.perf_counter() - start
        except Exception:
            seconds = math.nan
        print(seconds, file=out, flush=True)


if __name__ == "__main__":
    serve(sys.argv[1])
