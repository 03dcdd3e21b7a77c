"""How a command ended, in lines on stderr; with scores it is in `scored`, whose Rich takes 25 ms to be imported."""

import sys

from segtool.results import Adopted, Exported, Failures, Synthesised, Written


def show_written(result: Written, *, kind: str, quiet: bool) -> None:
    """Prints the last notice of `mask` or `overlay` to stderr, and every file that failed with its reason."""
    if result.planned is None:
        parts = [f"{count(result.done, kind)} written to {result.output}"]
    else:
        parts = [f"{count(result.planned, kind)} to be written to {result.output}; nothing was done"]
    if result.kept:
        parts.append(f"{result.kept} kept from before")
    if result.failures:
        parts.append(f"{len(result.failures)} failed or left alone")
    if result.done:
        parts.append(f"{result.seconds:.1f} s, {result.done / max(result.seconds, 1e-9):.1f} pictures/s")
    if not quiet:
        print("; ".join(parts), file=sys.stderr)
    show_failures(result.failures)


def show_synthesised(result: Synthesised, *, quiet: bool) -> None:
    """Prints where the dataset lies to stderr."""
    if quiet:
        return
    print(f"{result.train} train and {result.val} val pairs written to {result.data}", file=sys.stderr)


def show_adopted(result: Adopted, *, quiet: bool) -> None:
    """Prints where the weights are, and how their network is used, to stderr."""
    if quiet:
        return
    for note in result.notes:
        print(note, file=sys.stderr)
    card = result.card
    print(
        f"{result.output}: {', '.join(c.name for c in card.classes)}; network size {card.network_size}, stride "
        f"{card.stride}; opened again, probabilities differ by {result.difference:.1g} at most",
        file=sys.stderr,
    )


def show_exported(result: Exported, *, quiet: bool) -> None:
    """Prints what was written, and how close to Keras it is, to stderr."""
    if not quiet:
        print(
            f"{result.output}: {result.format}, {result.size / 1e6:.1f} MB; probabilities differ from Keras' by "
            f"{result.difference:.1g} at most ({result.tolerance:g} is allowed)",
            file=sys.stderr,
        )


def show_failures(failures: Failures) -> None:
    """Names each failed file with its reason on stderr."""
    for what, why in failures:
        print(f"segtool: {why}" if what in why else f"segtool: {what}: {why}", file=sys.stderr)


def count(number: int, thing: str) -> str:
    """Returns `1 mask`, `2 masks`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
