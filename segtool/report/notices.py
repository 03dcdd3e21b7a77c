"""What is told while a command works: notices and progress on stderr, so that stdout carries results only."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from threading import RLock
from typing import Any

from tqdm import tqdm

tqdm.set_lock(RLock())  # its own is for processes as well, of which there are none: 8 ms to import what that takes


@dataclass(frozen=True)
class Show:
    """Where notices and progress go: nowhere when `quiet`; bars only on a terminal.

    A line a file goes to stdout as JSON where `json` asks for it, and to stderr as text where `verbose` does.
    """

    quiet: bool = False
    verbose: bool = False
    json: bool = False

    def notice(self, text: str) -> None:
        """Writes one line to stderr, above a running bar."""
        if not self.quiet:
            tqdm.write(text, file=sys.stderr)
            sys.stderr.flush()

    def line(self, line: Mapping[str, Any]) -> None:
        """Tells of one file that is finished, kept, left alone or failed; `line` has its input, status and outputs."""
        if self.json:
            # One write a line: lines of many threads must not mix. Flushed: the next program in the pipe is waiting.
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()
        if self.verbose:
            self.notice(_text(line))

    def planned(self, line: Mapping[str, Any]) -> None:
        """Prints what a dry run found out of one file to stdout, where the plan is the result."""
        if self.json:
            self.line(line)
        else:
            print(_text(line))

    def progress(self, what: str, total: int | None, unit: str) -> "tqdm[Any]":
        """Returns a progress bar, which shows nothing where stderr is no terminal."""
        # disable=None is tqdm's word for "only on a terminal".
        return tqdm(desc=what, total=total, unit=unit, leave=False, disable=True if self.quiet else None)


def _text(line: Mapping[str, Any]) -> str:
    outputs = ", ".join(line["outputs"].values())
    told = f"{line['status']}: {line['input']}{' -> ' + outputs if outputs else ''}"
    if line.get("error"):
        told += f" ({line['error']})"
    if line.get("confidence") is not None:
        told += f" (confidence {line['confidence']:.3f})"
    return told
