"""Results in the terminal. Results go to stdout; what went wrong goes to stderr."""

import sys

from segtool.report.tables import console_for_results, gate_line, print_evaluated, print_scores
from segtool.results import Adopted, Evaluated, Exported, Failures, Synthesised, Trained, Written


def show_written(result: Written, *, kind: str, quiet: bool) -> None:
    """Prints the last notice of `mask` or `overlay` to stderr, and every file that failed with its reason."""
    if result.planned is None:
        parts = [f"{_count(result.done, kind)} written to {result.output}"]
    else:
        parts = [f"{_count(result.planned, kind)} to be written to {result.output}; nothing was done"]
    if result.kept:
        parts.append(f"{result.kept} kept from before")
    if result.failures:
        parts.append(f"{len(result.failures)} failed or left alone")
    if result.done:
        parts.append(f"{result.seconds:.1f} s, {result.done / max(result.seconds, 1e-9):.1f} pictures/s")
    if not quiet:
        print("; ".join(parts), file=sys.stderr)
    show_failures(result.failures)


def show_evaluated(result: Evaluated) -> None:
    """Prints the score tables to stdout."""
    print_evaluated(console_for_results(), result)


def show_verdict(result: Evaluated) -> None:
    """Says on stderr which pairs failed, and which gates said no and by how much."""
    show_failures(result.failures)
    for gate in result.gates:
        if not gate.passed:
            print(f"segtool: {gate_line(gate)}.", file=sys.stderr)
    if result.fail_if_worse and result.comparison:
        for change in result.comparison.worse:
            assert change.interval is not None, "what is worse has an interval below 0"
            print(
                f"segtool: {change.key} fell by {change.before - change.now:.4f} "
                f"(95 %: {-change.interval[1]:.4f} to {-change.interval[0]:.4f}) since {result.comparison.old}.",
                file=sys.stderr,
            )


def show_trained(result: Trained, *, quiet: bool) -> None:
    """Prints what the best epoch scores on each dataset's val split to stdout, and where the weights are to stderr."""
    console = console_for_results()
    for name, scores in result.scores:
        print_scores(console, f"{name} (val, {_count(scores.pairs, 'pair')})", scores)
    if not quiet:
        state = (
            ("interrupted; --resume goes on" if result.epochs else "interrupted; run it again")
            if result.interrupted
            else f"best epoch {result.best_epoch}"
        )
        print(
            f"{result.run}: {_count(result.epochs, 'epoch')} in {result.seconds / 60:.1f} min, {state}", file=sys.stderr
        )
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


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
