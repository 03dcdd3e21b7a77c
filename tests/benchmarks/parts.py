"""The parts of the suite that make masks: from disk to disk (a, b), the first mask (c), help (e), memory (f)."""

import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from floor import Floor, measure_floor
from networks import onnx_of, seen_shape, weights_of
from peers import ONNX_RUNTIME, OPENVINO, PLAIN, REMBG, Network, Peer
from pictures import LARGE, copied, distinct_pictures
from running import Run, answer, run
from table import Goal, Row

from segtool.card import read_card

GOALS = {
    ("a", PLAIN): Goal(5, 6.5), ("a", REMBG): Goal(12, 15), ("a", OPENVINO): Goal(0.95, 1.0),
    ("a", ONNX_RUNTIME): Goal(1.2), ("b", PLAIN): Goal(4), ("b", OPENVINO): Goal(0.92, 1.0),
}  # fmt: skip
FLOOR_GOAL = Goal(1.2, 1.1, least=False)
FIRST_MASK, HELP = Goal(1.3, 0.8, least=False), Goal(0.2, least=False)
GROWTH, PEAK = Goal(1.05, least=False), Goal(1.2, least=False)


@dataclass(frozen=True)
class Plan:
    """What was asked for: where files are kept, how many paired runs, which peers, which photos if not drawn ones."""

    cache: Path
    pairs: int
    peers: tuple[Peer, ...]
    photos: Path | None = None


def network_of(name: str, cache: Path) -> Network:
    """Returns the files of a network."""
    weights = weights_of(name, cache)
    card = read_card(weights)
    return Network(name, weights, onnx_of(name, cache), seen_shape(card.network_size, card.stride))


def disk_to_disk(
    part: str, plan: Plan, network: Network, size: tuple[int, int], count: int
) -> Iterator[Row]:  # fmt: skip
    """Yields the rows of a folder of pictures: each peer right after a run of ours, and the floor once a round."""
    pictures = copied(distinct_pictures(plan.cache, size, plan.photos), plan.cache / f"{part}-{count}", count)
    found: dict[Peer, list[tuple[Run, Run]]] = {peer: [] for peer in plan.peers}
    floors: list[tuple[Run, Floor]] = []
    shared: dict[Peer, float] = {}
    engines = ["segtool", *(p.name for p in plan.peers if p in (ONNX_RUNTIME, OPENVINO))]
    with tempfile.TemporaryDirectory(dir=plan.cache) as folder:
        out, other = Path(folder) / "ours", Path(folder) / "theirs"
        for _ in range(plan.pairs):
            for peer in plan.peers:
                found[peer].append((_ours(network, pictures, out), _theirs(peer, network, pictures, other)))
                if peer.same_masks and peer not in shared:
                    shared[peer] = agreement(out, other)
            ran = _ours(network, pictures, out)
            floors.append((ran, measure_floor(engines, pictures, network.weights, network.onnx)))
    for peer, pairs in found.items():
        yield from _compared(part, network, peer, count, pairs, shared.get(peer))
    yield from _above_floor(part, network, count, floors)


def _ours(network: Network, pictures: Path, out: Path) -> Run:
    _ready(pictures, out)
    return run([sys.executable, "-m", "segtool", "mask", str(pictures), str(out), "-w", str(network.weights)], out=out)


def _theirs(peer: Peer, network: Network, pictures: Path, out: Path) -> Run:
    _ready(pictures, out)
    # Where rembg looks for its network, and that it is not to compare it with the published one.
    env = {"U2NET_HOME": str(network.onnx.parent), "MODEL_CHECKSUM_DISABLED": "1"} if peer is REMBG else None
    return run(peer.command(network, pictures, out), out=out, env=env)


def _compared(
    part: str, network: Network, peer: Peer, count: int, pairs: Sequence[tuple[Run, Run]], shared: float | None
) -> Iterator[Row]:  # fmt: skip
    """Yields one peer's rows: the whole run, start-up inside on both sides, and the middle of it."""
    same = "" if shared is None else f"; {shared:.3%} of mask pixels equal"
    ours, theirs = _rates([a for a, _ in pairs], count), _rates([b for _, b in pairs], count) + same
    goal = GOALS.get((part, peer))
    whole = tuple(b.wall / a.wall for a, b in pairs)
    yield Row(part, network.name, f"{peer.label}, whole run", whole, ours, theirs, goal=goal)
    steady = tuple(a.steady / b.steady for a, b in pairs if a.steady and b.steady)
    if steady:
        ours, theirs = (f"{_median_steady(side):.1f} pictures/s" for side in zip(*pairs, strict=True))
        yield Row(part, network.name, f"{peer.label}, start-up outside", steady, ours, theirs, goal=goal)


def _above_floor(part: str, network: Network, count: int, floors: Sequence[tuple[Run, Floor]]) -> Iterator[Row]:
    bounds = [floor.bounds for _, floor in floors]
    names = {name: statistics.median(b[name] for b in bounds if name in b) for b in bounds for name in b}
    words = ", ".join(f"{name} {1000 * seconds:.1f}" for name, seconds in names.items())
    theirs = f"ms a picture: {words}"
    ours = f"{1000 * statistics.median(ran.wall / count for ran, _ in floors):.1f} ms a picture"
    goal = FLOOR_GOAL if part == "a" else None
    whole = tuple(ran.wall / count / floor.seconds for ran, floor in floors)
    yield Row(part, network.name, "floor, whole run", whole, ours, theirs, goal=goal)
    steady = tuple(1 / ran.steady / floor.seconds for ran, floor in floors if ran.steady)
    if steady:
        yield Row(part, network.name, "floor, start-up outside", steady, goal=goal)


def first_mask(plan: Plan, network: Network) -> Iterator[Row]:
    """Yields what one mask takes beyond importing TensorFlow."""
    photo = next(distinct_pictures(plan.cache, LARGE, plan.photos).iterdir())
    importing, ours = [], []
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "mask.png"
        for _ in range(plan.pairs):
            importing.append(run([sys.executable, "-c", "import tensorflow"]).wall)
            command = [sys.executable, "-m", "segtool", "mask", str(photo), str(out), "--force"]
            ours.append(run([*command, "-w", str(network.weights)]).wall)
    beyond = tuple(mask - alone for mask, alone in zip(ours, importing, strict=True))
    words = (f"{statistics.median(ours):.2f} s", f"import tensorflow {statistics.median(importing):.2f} s")
    yield Row("c", network.name, "first mask beyond the import", beyond, *words, unit="s", goal=FIRST_MASK)


def asking_help(plan: Plan) -> Iterator[Row]:
    """Yields how long `--help` takes."""
    ours, bare = [], []
    for _ in range(max(5, plan.pairs)):
        ours.append(run([sys.executable, "-m", "segtool", "--help"]).wall)
        bare.append(run([sys.executable, "-c", "pass"]).wall)
    theirs = f"python -c pass {statistics.median(bare):.2f} s"
    yield Row("e", "", "segtool --help", tuple(ours), theirs=theirs, unit="s", goal=HELP)


def memory(plan: Plan, network: Network, counts: Sequence[int]) -> Iterator[Row]:
    """Yields the peak of resident memory at two numbers of 12-megapixel pictures, and how it grows."""
    originals = distinct_pictures(plan.cache, LARGE, plan.photos)
    peaks = []
    for count in counts:
        with tempfile.TemporaryDirectory(dir=plan.cache) as folder:  # gigabytes: not kept
            pictures = copied(originals, Path(folder) / "pictures", count)
            peaks.append(_ours(network, pictures, Path(folder) / "masks").peak)
    for count, peak in zip(counts, peaks, strict=True):
        yield Row("f", network.name, f"peak of memory, {count} pictures", (peak / 2**30,), unit="GiB", goal=PEAK)
    what = f"{counts[-1]} beside {counts[0]} pictures"
    yield Row("f", network.name, what, (peaks[-1] / peaks[0],), goal=GROWTH)


def agreement(first: Path, second: Path) -> float:
    """Returns the share of equal pixels of two folders of masks: a peer that does other work is no peer."""
    script = str(Path(__file__).with_name("agreement.py"))
    return float(answer([sys.executable, script, str(first), str(second)]))


def _rates(runs: Sequence[Run], count: int) -> str:
    wall, cpu = (statistics.median(getattr(r, name) for r in runs) for name in ("wall", "cpu"))
    started = [r.wall - count / r.steady for r in runs if r.steady]
    start = f", start {statistics.median(started):.1f} s" if started else ""
    peak = statistics.median(r.peak for r in runs) / 2**30
    return f"{wall:.1f} s{start}, {1000 * cpu / count:.0f} CPU ms a picture, {peak:.2f} GiB"


def _median_steady(runs: Sequence[Run]) -> float:
    return statistics.median(r.steady for r in runs if r.steady)


def _ready(pictures: Path, out: Path) -> None:
    """Empties `out` and reads all pictures, so that no run, of ours or a peer's, waits for the disk.

    Before each run: where memory that lies idle is paged out (DAMON does so here), a folder read 100 s ago is on the
    disk again, and 200 pictures of 12 megapixels took 1 s longer.
    """
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    for path in pictures.iterdir():
        with path.open("rb") as file:
            while file.read(1 << 20):
                pass
