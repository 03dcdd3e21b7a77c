"""TensorBoard logs, written by hand: `keras.callbacks.TensorBoard` needs TensorFlow and TensorBoard, this neither.

An event file is a list of records, each a protobuf message `Event` between its length and two checksums
(tensorflow/core/lib/io/record_writer.h, tensorflow/core/util/event.proto and framework/summary.proto).
"""

import struct
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from segtool.errors import OutputError

METRICS = ("loss", "accuracy", "iou")


def append_epoch(folder: Path, row: Mapping[str, float]) -> None:
    """Appends one epoch of a history to `folder`/train and `folder`/val, for TensorBoard. Raises OutputError."""
    train = {name: row[name] for name in (*METRICS, "learning_rate")}
    val = {name: row[f"val_{name}"] for name in METRICS}
    for split, scalars in (("train", train), ("val", val)):
        path = folder / split / "events.out.tfevents.0000000000.segtool"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            first = b"" if path.exists() else record(event(time.time(), version="brain.Event:2"))
            with path.open("ab") as file:
                file.write(first + record(event(time.time(), step=int(row["epoch"]), scalars=scalars)))
        except OSError as error:
            raise OutputError(f"Cannot write {path}: {error.strerror}.") from error


def record(data: bytes) -> bytes:
    """Returns `data` between its length and the checksums of both."""
    length = struct.pack("<Q", len(data))
    return length + _checksum(length) + data + _checksum(data)


def event(wall_time: float, *, step: int = 0, scalars: Mapping[str, float] | None = None, version: str = "") -> bytes:
    """Returns the message `Event`: wall_time = 1, step = 2, file_version = 3, summary = 5."""
    message = b"\x09" + struct.pack("<d", wall_time) + b"\x10" + _varint(step)
    if version:
        message += _field(3, version.encode())
    if scalars:
        # Summary.value = 1, Value.tag = 1, Value.simple_value = 2
        values = (_field(1, tag.encode()) + b"\x15" + struct.pack("<f", value) for tag, value in scalars.items())
        message += _field(5, b"".join(_field(1, value) for value in values))
    return message


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    parts = []
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])


def _crc_table() -> Iterator[int]:
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        yield value


_TABLE = tuple(_crc_table())


def _checksum(data: bytes) -> bytes:
    """Returns the masked CRC-32C (Castagnoli) of `data`."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
