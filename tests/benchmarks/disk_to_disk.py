"""How fast segtool is from disk to disk, beside what a user could pick instead: one command, a table of ratios.

    pip install -r tests/benchmarks/requirements.txt
    python tests/benchmarks/disk_to_disk.py                                  # all of it: hours
    python tests/benchmarks/disk_to_disk.py --only a,c --pictures 40 --pairs 3 --networks person

Parts: (a) 12-megapixel JPEGs, (b) JPEGs of 640×480, (c) the first mask of one photo, (d) training, (e) `--help`, (f)
peak memory. Each peer's run comes right after one of ours, again and again (A B A B …): the figure is the median of
their ratios. "Whole run" has start-up inside for both; "start-up outside" compares masks a second in the middle of the
run, from two fifths of the files to the last tenth by when they were written. All pictures lie in the page cache.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from machine import machine, versions
from networks import FIXED, make_networks
from parts import Plan, asking_help, disk_to_disk, first_mask, memory, network_of
from peers import PEERS
from pictures import LARGE, SMALL, copied, described, distinct_pictures
from rich.console import Console
from running import Failed
from table import Row, save, show
from training_rates import training

PARTS = "abcdef"


def main() -> None:
    """Makes what is missing, measures, prints."""
    asked = options()
    console = Console(width=max(Console().width, 160))
    asked.cache.mkdir(parents=True, exist_ok=True)
    small = distinct_pictures(asked.cache, SMALL, asked.photos)
    make_networks(asked.networks, asked.cache, small)
    reasons = {peer: peer.missing(asked.cache / "networks") for peer in PEERS if peer.name in asked.peers}
    for reason in filter(None, reasons.values()):
        console.print(reason, markup=False)
    peers = tuple(peer for peer, reason in reasons.items() if not reason)
    plan = Plan(asked.cache, asked.pairs, peers, asked.photos)
    header = {"machine": machine(), "versions": versions(), "pictures": picture_sets(asked), "pairs": asked.pairs}
    for name, value in header.items():
        text = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        console.print(f"{name}: {text}", markup=False, highlight=False)
    rows: list[Row] = []
    try:
        for row in measured(asked, plan):
            rows.append(row)
            console.print(f"({row.part}) {row.network} {row.what}: {row.median:.2f}", markup=False, highlight=False)
            if asked.json:
                save(asked.json, header, rows)  # as it grows: the whole takes long
    except Failed as error:
        console.print(str(error), markup=False)
        sys.exit(1)
    finally:
        show(rows, console)


def measured(asked: argparse.Namespace, plan: Plan) -> Iterator[Row]:
    """Yields the rows of the parts that were asked for, in their order."""
    networks = [network_of(name, plan.cache) for name in asked.networks]
    for part in sorted(asked.only):
        if part == "e":
            yield from asking_help(plan)
            continue
        for network in networks:
            if part == "a":
                yield from disk_to_disk(part, plan, network, LARGE, asked.pictures)
            elif part == "b":
                yield from disk_to_disk(part, plan, network, SMALL, asked.small_pictures)
            elif part == "c":
                yield from first_mask(plan, network)
            elif part == "d":
                yield from training(network, plan.pairs)
            else:
                yield from memory(plan, network, asked.memory_pictures)


def picture_sets(asked: argparse.Namespace) -> dict[str, str]:
    """Returns which pictures there are, in words, by part."""
    found = {"from": f"photos of {asked.photos}, enlarged" if asked.photos else "drawn by drawing.py"}
    for part, size, count in (("a", LARGE, asked.pictures), ("b", SMALL, asked.small_pictures)):
        if part in asked.only:
            folder = copied(distinct_pictures(asked.cache, size, asked.photos), asked.cache / f"{part}-{count}", count)
            found[part] = f"{size[0]}×{size[1]}, {described(folder)}"
    return found


def options() -> argparse.Namespace:
    """Returns what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=_letters, default=PARTS, metavar="a,b,…", help="parts to run (all)")
    parser.add_argument("--networks", type=_words, default=[FIXED, "person"], help="fixed, or bundled weights by name")
    parser.add_argument("--peers", type=_words, default=[p.name for p in PEERS], help="which of: " +
                        ", ".join(p.name for p in PEERS))  # fmt: skip
    parser.add_argument("--pairs", type=int, default=5, help="paired runs of each (5)")
    parser.add_argument("--pictures", type=int, default=200, help="12-megapixel pictures in (a)")
    parser.add_argument("--small-pictures", type=int, default=1000, help="pictures of 640×480 in (b)")
    parser.add_argument("--memory-pictures", type=_numbers, default=[200, 2000], help="two numbers for (f): 200,2000")
    parser.add_argument("--photos", type=Path, help="a folder of JPEGs, enlarged, in place of drawn pictures")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "segtool-benchmarks",
                        help="where pictures and networks are kept from run to run")  # fmt: skip
    parser.add_argument("--json", type=Path, help="write all figures to this file as well")
    asked = parser.parse_args()
    unknown = set(asked.peers) - {peer.name for peer in PEERS}
    if unknown:
        parser.error(f"--peers {','.join(unknown)}: there are {', '.join(peer.name for peer in PEERS)}")
    return asked


def _letters(text: str) -> str:
    letters = text.replace(",", "")
    if not letters or set(letters) - set(PARTS):
        raise argparse.ArgumentTypeError(f"{text!r}: the parts are {', '.join(PARTS)}")
    return letters


def _words(text: str) -> list[str]:
    return text.split(",")


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


if __name__ == "__main__":
    main()
