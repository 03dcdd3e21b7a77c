"""Results with scores in the terminal: tables on stdout; what went wrong, and where things are, on stderr."""

import sys

from segtool.report.console import count, show_failures
from segtool.report.tables import console_for_results, gate_line, print_evaluated, print_scores
from segtool.results import Evaluated, Trained


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
        print_scores(console, f"{name} (val, {count(scores.pairs, 'pair')})", scores)
    if not quiet:
        state = (
            ("interrupted; --resume goes on" if result.epochs else "interrupted; run it again")
            if result.interrupted
            else f"best epoch {result.best_epoch}"
        )
        print(
            f"{result.run}: {count(result.epochs, 'epoch')} in {result.seconds / 60:.1f} min, {state}", file=sys.stderr
        )
    show_failures(result.failures)
