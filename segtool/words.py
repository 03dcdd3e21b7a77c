"""Words of the command line to values: lists, shares, shards, lengths of time, gates."""

import math
import re

from segtool.errors import UsageError


def least_of(text: str) -> tuple[str, float]:
    """Returns the key and the value in [0, 1] of a gate such as miou=0.85. Raises UsageError."""
    # From the right: a class may have `=` in its name.
    key, _, value = text.rpartition("=")
    try:
        least = float(value)
    except ValueError:
        least = math.nan
    if not key or not 0 <= least <= 1:
        raise UsageError(f"--fail-under {text} is not of the form KEY=VALUE with a value from 0 to 1, as in miou=0.85.")
    return key, least


def shard_of(text: str | None) -> tuple[int, int] | None:
    """Returns I and N of I/N, None for none. Raises UsageError."""
    if text is None:
        return None
    number, _, of = text.partition("/")
    if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise UsageError(f"--shard {text} is not I/N with I from 1 to N, such as 1/4.")
    return int(number), int(of)


def batch_size_of(text: str) -> int | None:
    """Returns the pictures in a batch, None for auto. Raises UsageError."""
    if text == "auto":
        return None
    if not text.isdecimal() or not int(text):
        raise UsageError(f"--batch-size {text} is not auto, or a number of pictures from 1 up.")
    return int(text)


def names_of(flag: str, text: str | None) -> tuple[str, ...]:
    """Returns the names between commas, each once. Raises UsageError."""
    names = tuple(part.strip() for part in text.split(",")) if text else ()
    if "" in names or len(set(names)) != len(names):
        raise UsageError(f"{flag} {text} needs names that differ, with commas between them.")
    return names


def shares_of(flag: str, text: str | None) -> tuple[float, ...]:
    """Returns the shares between commas, 0 or more and not all 0. Raises UsageError."""
    try:
        numbers = tuple(float(part) for part in (text or "").split(",") if part.strip())
    except ValueError:
        raise UsageError(f"{flag} {text} is no list of numbers like 2,1,1.") from None
    if not all(0 <= n < math.inf for n in numbers) or (numbers and sum(numbers) <= 0):
        raise UsageError(f"{flag} {text} needs shares of 0 or more, not all 0.")
    return numbers


def minutes_of(text: str | None) -> float | None:
    """Returns the minutes of a length of time such as 45m, 1h30m, 90s or 45, None for none. Raises UsageError."""
    if text is None:
        return None
    plain = text.strip().lower()
    written = f"{plain}m" if re.fullmatch("[0-9.]+", plain) else plain
    found = re.fullmatch(r"(?:([0-9.]+)h)?(?:([0-9.]+)m)?(?:([0-9.]+)s)?", written)
    try:
        hours, minutes, seconds = (float(part or 0) for part in found.groups()) if found else (0.0, 0.0, 0.0)
    except ValueError:
        hours = minutes = seconds = 0.0
    if not 0 < (total := hours * 60 + minutes + seconds / 60) < math.inf:
        raise UsageError(f"--time-budget {text} is no length of time like 45m, 1h30m, 90s or 45 (minutes).")
    return total
