"""What weights say of themselves: the `segtool.json` inside every `.keras` file, read without TensorFlow.

A `.keras` file is a zip; Keras ignores entries it does not know, so the card travels inside it.
"""

import json
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from segtool.errors import ModelError

CARD_ENTRY = "segtool.json"
CARD_FORMAT = 1
DEFAULT_WEIGHTS = "person"
IGNORE_ID = 255  # in memory always; on disk as the dataset says
# What zipfile lets out of a damaged archive; RuntimeError where a flipped bit says encrypted or unknown compression.
DAMAGED = (OSError, EOFError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class ClassInfo:
    """One class: the id masks carry, its name, and its colour as RGB in [0, 255]."""

    id: int
    name: str
    color: tuple[int, int, int]


@dataclass(frozen=True)
class Card:
    """All that is needed to use weights, and to judge them.

    `classes` are in the order of the network's channels (binary: background, foreground).
    `network_size` is in pixels of the image's long side; sides the network sees are multiples of `stride`.
    `mask_values` holds, a class each, the value its pixels had in the training masks.
    `scores` is keyed by split, then by metric; `by_data` beneath a split repeats the metrics for each dataset, and
    `intervals` beside them has their 95 % intervals. `trained_on` has a dataset each with its origin and terms.
    `limitations` are sentences about what the weights do badly. `milliseconds` is the network's time a picture, on
    what `measured_on` says; 0 is not measured.
    """

    name: str
    task: str
    classes: tuple[ClassInfo, ...]
    network_size: int
    stride: int
    ignore_id: int | None = IGNORE_ID
    tile_scale: float | None = None
    threshold: float = 0.5
    mask_values: tuple[int, ...] = ()
    architecture: Mapping[str, Any] = field(default_factory=dict)
    trained_on: tuple[Mapping[str, Any], ...] = ()
    scores: Mapping[str, Any] = field(default_factory=dict)
    flops: int = 0
    parameters: int = 0
    description: str = ""
    intended_use: str = ""
    limitations: tuple[str, ...] = ()
    milliseconds: float = 0.0
    measured_on: str = ""
    licence: str = ""
    segtool_version: str = ""
    created: str = ""
    format: int = CARD_FORMAT

    @property
    def binary(self) -> bool:
        """Whether the network has one sigmoid channel in place of one softmax channel a class."""
        return self.task == "binary"

    @property
    def channels(self) -> int:
        """How many channels the network gives."""
        return 1 if self.binary else len(self.classes)

    def cut(self, asked: float | None) -> float:
        """Returns the threshold to use: the one `asked` for, None being the card's own."""
        return self.threshold if asked is None else asked


def read_card(path: Path) -> Card:
    """Returns the card inside `path`. Raises ModelError when the file is damaged, has none, or a newer one."""
    if path.suffix != ".keras":
        raise ModelError(f"{path} is not a .keras file; only those can be opened safely.")
    try:
        with zipfile.ZipFile(path) as archive:
            raw = json.loads(archive.read(CARD_ENTRY))
    except FileNotFoundError:
        raise ModelError(f"There are no weights at {path}.") from None
    except KeyError:
        raise ModelError(
            f"{path} has no card ({CARD_ENTRY}): it was not made by `segtool train`; "
            f"`segtool weights adopt {path} --classes NAME,NAME` gives it one."
        ) from None
    except DAMAGED as error:
        raise ModelError(f"{path} is damaged and cannot be opened ({error}).") from error
    if not isinstance(raw, dict) or not isinstance(raw.get("format"), int):
        raise ModelError(f"The card of {path} is damaged: it has no format number.")
    if raw["format"] > CARD_FORMAT:
        raise ModelError(
            f"{path} has a card of format {raw['format']}, this segtool reads up to {CARD_FORMAT}: update segtool."
        )
    try:
        return card_from_json(raw)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"The card of {path} is damaged ({error}).") from error


def card_from_json(raw: Mapping[str, Any]) -> Card:
    """Returns the card that `card_to_json` wrote; unknown keys are left out."""
    known = {f.name: raw[f.name] for f in fields(Card) if f.name in raw}
    known["classes"] = tuple(ClassInfo(int(c["id"]), str(c["name"]), rgb_of(c["color"])) for c in raw["classes"])
    known["mask_values"] = tuple(raw.get("mask_values", ()))
    known["trained_on"] = tuple(raw.get("trained_on", ()))
    known["limitations"] = tuple(raw.get("limitations", ()))
    card = Card(**known)
    if card.task not in ("binary", "multiclass") or card.network_size < 1 or card.stride < 1:
        raise ValueError(f"task {card.task!r}, network size {card.network_size}, stride {card.stride}")
    if not isinstance(card.scores, Mapping) or not all(
        isinstance(part, Mapping) for part in (*card.scores.values(), *card.trained_on)
    ):
        raise TypeError("scores and trained_on are no objects")
    return card


def card_to_json(card: Card) -> dict[str, Any]:
    """Returns the card as plain JSON values."""
    return asdict(card)


def write_card(path: Path, card: Card) -> None:
    """Puts `card` into the `.keras` file at `path`, replacing one already there. The file is replaced whole."""
    put_entry(path, CARD_ENTRY, json.dumps(card_to_json(card), indent=1).encode())


def put_entry(path: Path, name: str, content: bytes) -> None:
    """Puts an entry into the zip archive at `path`, in place of one of that name. The file is replaced whole.

    Texts are deflated; arrays are not: they shrink by a tenth, and inflating them took longer than all else of reading.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(partial, "w") as new:
            entries = {entry.filename: old.read(entry) for entry in old.infolist()} | {name: content}
            for filename, data in entries.items():
                new.writestr(filename, data, zipfile.ZIP_DEFLATED if filename.endswith(".json") else zipfile.ZIP_STORED)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def bundled_weights() -> Iterator[Path]:
    """Yields the weights files that ship with the package, in order of name."""
    # The wheel carries them inside the package; an editable install finds them in the checkout instead,
    # because hatchling's force-include is not seen by editable installs.
    package = Path(__file__).resolve().parent
    for folder in (package / "weights", package.parent / "weights"):
        found = sorted(folder.glob("*.keras"))
        if found:
            yield from found
            return


def find_weights(name_or_path: str) -> Path:
    """Returns the file of bundled weights by name, or of own weights by path. Raises ModelError when neither is."""
    bundled = {path.stem: path for path in bundled_weights()}
    if name_or_path in bundled:
        return bundled[name_or_path]
    path = Path(name_or_path)
    if path.is_dir() and (path / "weights.keras").is_file():
        return path / "weights.keras"  # a run folder
    if not path.is_file():
        names = ", ".join(bundled) or "none"
        raise ModelError(f"There are no weights {name_or_path!r}: give a .keras file or a bundled name ({names}).")
    return path


def rgb_of(values: Any) -> tuple[int, int, int]:
    """Returns a colour read from JSON. Raises TypeError or ValueError unless it is three numbers from 0 to 255."""
    red, green, blue = (int(v) for v in values)
    if not all(0 <= v <= 255 for v in (red, green, blue)):
        raise ValueError(f"colour {red}, {green}, {blue} outside 0 to 255")
    return red, green, blue
