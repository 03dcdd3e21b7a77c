"""What `segtool check` found, on the terminal and as JSON."""

import json
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from segtool.results import Case, Checked, Finding, PictureFigures, SplitFigures

CASES_SHOWN, FILES_SHOWN = 4, 4  # on the terminal; JSON has them all
STYLES = {"error": "bold red", "warning": "bold yellow", "note": "bold cyan"}
TABLE_SPLITS = 3  # side by side in 80 columns


def show_checked(result: Checked) -> None:
    """Prints what is in the dataset to stdout, then the findings, worst first, and how many there are."""
    console = Console(soft_wrap=not sys.stdout.isatty(), highlight=False, markup=False, emoji=False)
    pairs = sum(split.pairs for split in result.splits)
    console.print(Text(f"{result.data}: {_count(pairs, 'pair')}", style="bold"))
    if any(split.classes for split in result.splits):
        console.print(_class_table(result.splits))
        console.print()
    for line in _figures(result):
        _print_wrapped(console, line)
    for finding in (*result.findings, *result.notes):
        console.print()
        _print_finding(console, finding)
    console.print()
    console.print(_summary(result), style="bold")


def checked_json(result: Checked) -> str:
    """Returns the result as one JSON document; `findings` holds errors and warnings, `files` every file of one."""
    splits = {
        s.name: {
            "pairs": s.pairs, "masks_read": s.read, "ignored": s.ignored,
            "classes": {c.name: {"share": c.share, "images": c.images} for c in s.classes},
        }
        for s in result.splits
    }  # fmt: skip
    return json.dumps(
        {
            "data": str(result.data), "quick": result.quick, "strict": result.strict, "exit_code": result.exit_code,
            "errors": _number(result, "error"), "warnings": _number(result, "warning"),
            "findings": [_finding_json(f) for f in result.findings], "notes": [_finding_json(f) for f in result.notes],
            "mask_values": result.meaning or None, "splits": splits,
            "pictures": asdict(result.pictures) if result.pictures else None, "seconds": round(result.seconds, 3),
        },
        indent=1,
    )  # fmt: skip


def finding_line(finding: Finding) -> str:
    """Returns a finding in one line, for commands that tell of it on their way."""
    names = ", ".join(_printable(name) for name in finding.files[:2])
    more = f", … ({len(finding.cases)} in all)" if len(finding.files) > 2 else ""
    return f"{finding.severity}: {finding.what}{f' {names}{more}.' if names else ''} {finding.advice} [{finding.code}]"


def _finding_json(finding: Finding) -> dict[str, Any]:
    cases = [{"files": list(case.files), "detail": case.detail} for case in finding.cases]
    return {
        "code": finding.code, "severity": finding.severity, "what": finding.what, "advice": finding.advice,
        "files": list(finding.files), "cases": cases, "paste": finding.paste or None,
    }  # fmt: skip


def _class_table(splits: tuple[SplitFigures, ...]) -> Table:
    read = [split for split in splits if split.read]
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    table.add_column("class", overflow="fold")
    for split in read[:TABLE_SPLITS]:
        table.add_column(split.name, justify="right", no_wrap=True)
        table.add_column("images", justify="right", no_wrap=True)
    for index, info in enumerate(read[0].classes):
        cells = [cell for s in read for cell in (_percent(s.classes[index].share), str(s.classes[index].images))]
        table.add_row(Text(_printable(info.name)), *cells)
    if any(split.ignored for split in read):
        table.add_row("ignored", *(cell for s in read for cell in (_percent(s.ignored), "")), style="dim")
    return table


def _figures(result: Checked) -> Iterator[str]:
    if result.meaning:
        yield _printable(result.meaning)
    sampled = [s for s in result.splits if s.read < s.pairs]
    if result.quick:
        masks = " and ".join(f"{s.read} of {s.pairs} {s.name} masks" for s in sampled)
        yield f"quick: images were not decoded{f', shares are from {masks}' if masks else ''}"
    if result.pictures:
        yield _picture_line(result.pictures)


def _picture_line(pictures: PictureFigures) -> str:
    width, height, aspect = pictures.width, pictures.height, pictures.aspect
    if (width.least, height.least) == (width.greatest, height.greatest):
        sizes = f"all {width.least:g}×{height.least:g}"
    else:
        sizes = (
            f"width {width.least:g} to {width.greatest:g} (median {width.median:g}), "
            f"height {height.least:g} to {height.greatest:g} (median {height.median:g}), "
            f"width by height {aspect.least:.2f} to {aspect.greatest:.2f}"
        )
    grey = f"; {pictures.grey} of {pictures.count} without colour" if pictures.grey else ""
    return f"images: {sizes}{grey}"


def _print_finding(console: Console, finding: Finding) -> None:
    title = Text(finding.severity, style=STYLES[finding.severity]).append(f"  {finding.code}", style="bold")
    if finding.cases:
        title.append(f"  {len(finding.cases)}", style="dim")
    console.print(title)
    _print_wrapped(console, _printable(finding.what), indent="  ")
    shown = finding.cases if len(finding.cases) <= CASES_SHOWN + 1 else finding.cases[:CASES_SHOWN]
    for case in shown:
        _print_case(console, case)
    if len(finding.cases) > len(shown):
        console.print(f"    and {len(finding.cases) - len(shown)} more (--json lists them all)", style="dim")
    _print_wrapped(console, _printable(finding.advice), indent="  ")
    if finding.paste:
        console.print(_printable(finding.paste.rstrip()), soft_wrap=True)  # broken lines could not be pasted


def _print_case(console: Console, case: Case) -> None:
    names = [_printable(name) for name in case.files[:FILES_SHOWN]]
    if len(case.files) > FILES_SHOWN:
        names.append(f"and {len(case.files) - FILES_SHOWN} more files")
    line = Text("    " + "  ".join(names))
    if case.detail:
        line.append(f"  {_printable(case.detail)}", style="dim")
    console.print(line, soft_wrap=True)


def _print_wrapped(console: Console, text: str, *, indent: str = "") -> None:
    if console.soft_wrap:  # read by a program, or by a pager that wraps as it likes
        console.print(indent + text)
        return
    hanging = indent or "  "
    width = min(console.width, 120)
    console.print(textwrap.fill(text, width, initial_indent=indent, subsequent_indent=hanging, break_on_hyphens=False))


def _summary(result: Checked) -> str:
    seconds = f"in {result.seconds:.1f} s"
    if not result.findings:
        return f"No errors, no warnings {seconds}."
    counts = [_count(_number(result, kind), kind) for kind in ("error", "warning") if _number(result, kind)]
    return f"{' and '.join(counts)} {seconds}."


def _number(result: Checked, severity: str) -> int:
    return sum(finding.severity == severity for finding in result.findings)


def _printable(text: str) -> str:
    """Returns text that any terminal takes: names that are no UTF-8 carry half characters."""
    return text.encode(errors="surrogateescape").decode(errors="replace")


def _percent(share: float) -> str:
    return f"{share:.2%}"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
