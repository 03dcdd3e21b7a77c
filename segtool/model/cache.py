"""Decoded samples that memory has no room for, kept on disk: no pair is decoded twice."""

import mmap
import shutil
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np

from segtool.imaging.codec import Pixels

Sample = tuple[Pixels, Pixels]  # (h, w, 3) uint8 image, (h, w) uint8 class indices
Place = tuple[int, tuple[int, int]]  # where in the file, height and width
DISK_SHARE = 0.5  # of what is free in the folder


class DiskCache:
    """Samples in one file without a name, in a folder: it is gone with the process, however that ends."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._room = int(shutil.disk_usage(folder).free * DISK_SHARE)
        self._end = 0
        self._map: mmap.mmap | None = None

    def put(self, sample: Sample) -> Place | None:
        """Returns where `sample` is kept, or None where the disk has no room for it. All puts come before any `get`."""
        image, mask = sample
        size = image.nbytes + mask.nbytes
        if self._end + size > self._room:
            return None
        if not self._end:
            self._file = TemporaryFile(dir=self._folder)  # noqa: SIM115  # open as long as the samples are in use
        try:
            self._file.seek(self._end)  # behind the last whole one
            self._file.write(np.ascontiguousarray(image).data)
            self._file.write(np.ascontiguousarray(mask).data)
            self._file.flush()
        except OSError:  # the disk filled up after all: what is there stays in use
            self._room = self._end
            return None
        place = self._end, (image.shape[0], image.shape[1])
        self._end += size
        return place

    def get(self, place: Place) -> Sample:
        """Returns the sample that was put there, its arrays read-only. Safe from any thread once the first was read."""
        if self._map is None:
            self._map = mmap.mmap(self._file.fileno(), self._end, access=mmap.ACCESS_READ)
        start, (height, width) = place
        pixels = height * width
        image = np.frombuffer(self._map, np.uint8, pixels * 3, start).reshape(height, width, 3)
        return image, np.frombuffer(self._map, np.uint8, pixels, start + pixels * 3).reshape(height, width)
