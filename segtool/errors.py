"""Every failure segtool can explain, each one sentence long and with its exit code.

    SegtoolError          1   an expected failure; anything else that escapes is a bug
    ├── UsageError        2   the command line cannot mean anything
    ├── DataError         1   a dataset that breaks the contract of images/ and masks/
    ├── ModelError        1   weights that cannot be used, or not for this
    ├── TrainingError     1   a training that cannot go on: no memory, a loss that is no number
    ├── ImageError        1   one picture that cannot be read; ends that picture, not the run
    ├── DeviceMemoryError 1   a batch that does not fit into the device; smaller ones may
    └── OutputError       1   the place to write to; ends the run at once

A run that finished with files that failed exits with 3 (`results.EXIT_PARTIAL`), which is no exception.
"""


class SegtoolError(Exception):
    """An expected failure. The message says what is wrong, the value, and what to do."""

    exit_code = 1


class UsageError(SegtoolError):
    """The options or arguments contradict each other or name nothing."""

    exit_code = 2


class DataError(SegtoolError):
    """A dataset folder that cannot be read as pairs of images and masks."""


class ModelError(SegtoolError):
    """A weights file that is damaged, foreign, too new, or made for other classes."""


class TrainingError(SegtoolError):
    """A training that cannot go on as it was asked for."""


class ImageError(SegtoolError):
    """One picture or mask file that cannot be decoded."""


class OutputError(SegtoolError):
    """The output folder cannot be written, or what is there must not be."""


class DeviceMemoryError(SegtoolError):
    """A batch that does not fit into the memory of the device."""
