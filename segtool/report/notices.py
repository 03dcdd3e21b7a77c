"""What is told while a command works: notices and progress, on stderr, so that stdout carries results only."""

import sys
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm


@dataclass(frozen=True)
class Show:
    """Where notices and progress go: nowhere when `quiet`; bars only on a terminal."""

    quiet: bool = False

    def notice(self, text: str) -> None:
        """Writes one line to stderr, above a running bar."""
        if not self.quiet:
            tqdm.write(text, file=sys.stderr)
            sys.stderr.flush()

    def progress(self, what: str, total: int | None, unit: str) -> "tqdm[Any]":
        """Returns a progress bar, which shows nothing where stderr is no terminal."""
        # disable=None is tqdm's word for "only on a terminal".
        return tqdm(desc=what, total=total, unit=unit, leave=False, disable=True if self.quiet else None)
