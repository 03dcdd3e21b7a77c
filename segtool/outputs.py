"""The run behind `mask` and `overlay`: find, lock, plan, then from jobs to files on disk and lines in the record."""

import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any

from segtool.errors import ImageError, OutputError
from segtool.files import make_folder, staged
from segtool.imaging.codec import Notice, Pixels, Size, SizeOf, read_image, read_resized
from segtool.imaging.geometry import Rows
from segtool.imaging.strips import strip_reader
from segtool.kinds import wanted_of
from segtool.lines import done_line, failed_line, idle_lines, planned_lines, recorded
from segtool.options import WriteOptions
from segtool.pipeline import workers
from segtool.plan import Job, Plan, find_pictures, is_single, make_plan, plan_single, target_folders
from segtool.record import Records, RecordWriter, Stamp, clear_leftovers, read_records, recorded_path
from segtool.rendering import Picture, Render
from segtool.report.notices import Show
from segtool.results import Written
from segtool.segmentation import Mask, Reading, Segmented, Segmenter
from segtool.sources import STDIN
from segtool.streaming import FailureLog, Interrupt, caught, ordered_map

Start = Callable[[Plan], tuple[Segmenter, Mapping[str, Render]]]
Lists = Callable[[Plan, FailureLog], Mapping[str, tuple[Path, bytes]]]  # by kind: files about the whole run
FAILED_LIST = "failed-list"


def _no_lists(plan: Plan, failures: FailureLog) -> dict[str, tuple[Path, bytes]]:
    return {}


def write_outputs(
    options: WriteOptions, show: Show, *, start: Start, lists: Lists = _no_lists, listed: tuple[Path, ...] = ()
) -> Written:
    """Does what `options` ask for. `start` brings the network and the renderers, once it is clear that there is work;
    `lists` what is to be written to the files `listed` about all masks, once they are there.

    One bad picture is noted and passed over. Raises UsageError, ModelError or SegtoolError before any work, and
    OutputError when the output cannot be written: nothing half-written is left, and all finished files are recorded.
    """
    wanted = wanted_of(options)
    failed_list = options.running.failed_list
    listed = (*listed, failed_list) if failed_list else listed
    if is_single(options):
        plan = plan_single(options, wanted)
        if options.running.dry_run:
            return _tell_plan(plan, options, show)
        _refuse_foreign(listed, options, Records())
        return _carry_out(_Run(plan, options, None, show), start, lists)
    found = find_pictures(options, wanted)
    if options.running.dry_run:
        return _tell_plan(make_plan(options, wanted, found, read_records(options.output)), options, show)
    with RecordWriter(options.output, options.sources.shard) as record:
        for kind in wanted.kinds:
            make_folder(kind.folder)  # what cannot be written is told before the network is loaded
        records = read_records(options.output)
        plan = make_plan(options, wanted, found, records)
        folders = target_folders(plan).union(path.parent for path in listed)
        if clear_leftovers(folders, options.output, records):
            plan = make_plan(options, wanted, found, records)  # what a killed run had finished has its name now
        _refuse_foreign(listed, options, records)
        return _carry_out(_Run(plan, options, record, show), start, lists)


@dataclass
class _Run:
    """One run while it lasts: where its lines go, what failed, what was begun when."""

    plan: Plan
    options: WriteOptions
    record: RecordWriter | None
    show: Show
    started: float = field(default_factory=time.monotonic)
    done: int = 0
    failed: list[str] = field(default_factory=list)
    begun: dict[str, tuple[float, Stamp]] = field(default_factory=dict)
    decoded: set[str] = field(default_factory=set)
    failures: FailureLog = field(init=False)

    def __post_init__(self) -> None:
        self.failures = FailureLog(tell=self._tell_failure)

    def _tell_failure(self, what: Any, why: str) -> None:
        line = failed_line(what, why)
        real = what.real if isinstance(what, Job) else str(what)
        self.failed.append(real)
        if self.record:
            self.record.append({**line, "input": real})
        self.show.line(line)

    def whole(self, job: Job) -> Pixels:
        source, notice = self._source(job)
        return read_image(source, max_pixels=self.options.sources.max_pixels, notice=notice)

    def resized(self, job: Job, size_of: SizeOf) -> tuple[Pixels, Size]:
        source, notice = self._source(job)
        return read_resized(source, size_of, max_pixels=self.options.sources.max_pixels, notice=notice)

    def _source(self, job: Job) -> tuple[Path | bytes, Notice | None]:
        """Returns what a picture is read from, and who is told of its frames."""
        if job.path == STDIN:
            return _stdin(), None
        self._stamp(job)
        tell = None if job.real in self.decoded else self.show.notice  # an overlay decodes its picture twice
        self.decoded.add(job.real)
        return Path(job.path), tell

    def by_rows(self, job: Job) -> tuple[Size, Rows]:
        if job.path != STDIN:
            self._stamp(job)
            found = strip_reader(Path(job.path))
            if found and math.prod(found[0]) <= self.options.sources.max_pixels:  # else reading it whole says so
                return found
        image = self.whole(job)
        return image.shape[:2], lambda top, bottom: image[top:bottom]

    def _stamp(self, job: Job) -> None:
        """Notes how the picture looks before it is read, and of two readings before the first: a change in between is
        then noticed by the next run.
        """
        try:
            self.begun.setdefault(job.real, (time.monotonic(), Stamp.of(job.path)))
        except OSError as error:
            raise ImageError(f"{job} cannot be read: {error.strerror}.") from error

    def result(self, interrupted: int = 0) -> Written:
        return Written(
            output=self.options.output, done=self.done, kept=len(self.plan.kept),
            seconds=time.monotonic() - self.started, failures=tuple(self.failures.failures), interrupted=interrupted,
        )  # fmt: skip


def _carry_out(run: _Run, start: Start, lists: Lists) -> Written:
    plan, running = run.plan, run.options.running
    for line in idle_lines(plan):
        run.show.line(line)
    _note_left(plan, run.failures)
    interrupted = 0
    if plan.jobs and not (running.fail_fast and run.failures.failures):
        segmenter, renders = start(plan)
        interrupted = _stream(run, segmenter, renders)
    if not interrupted:
        for kind, (path, content) in lists(plan, run.failures).items():
            _write_list(run, kind, path, content)
    if running.failed_list:
        end = b"\0" if run.options.sources.nul else b"\n"
        _write_list(run, FAILED_LIST, running.failed_list, b"".join(os.fsencode(real) + end for real in run.failed))
    return run.result(interrupted)


def _write_list(run: _Run, kind: str, path: Path, content: bytes) -> None:
    """Writes a file about the whole run, and records it, so that the next run knows it for ours."""
    with staged(path, content) as partial:
        if run.record:
            stamp = Stamp.of(partial)
            size = {"size": stamp.size, "mtime_ns": stamp.mtime_ns}
            output = {"path": recorded_path(path, run.options.output), "settings": "", **size}
            run.record.append({"input": None, "status": "done", "outputs": {kind: output}, "weights": "", **size})


def _refuse_foreign(listed: Iterable[Path], options: WriteOptions, records: Records) -> None:
    """Raises OutputError when a file about the whole run is there already, and is not as segtool left it."""
    for path in listed:
        if path.exists() and not options.running.force:
            known = path.is_file() and records.made(recorded_path(path, options.output), Stamp.of(path))
            if not known:
                raise OutputError(f"{path} is there already and is not as segtool left it: --force replaces it.")


def _stream(run: _Run, segmenter: Segmenter, renders: Mapping[str, Render]) -> int:
    """Writes every job; returns 130 or 143 when it was interrupted, else 0."""

    def finish(item: Segmented) -> bool:
        mask = item.mask()
        _write(run, item.job, mask, segmenter, renders)
        return True

    def goes_on(_: object) -> bool:
        return not (run.options.running.fail_fast and run.failures.failures)

    with (
        workers() as pool,
        Interrupt() as interrupt,
        run.show.progress(run.plan.wanted.kinds[0].name, len(run.plan.jobs), "picture") as bar,
    ):
        jobs = takewhile(goes_on, interrupt.until(run.plan.jobs))
        masks = segmenter.stream(jobs, Reading(run.whole, run.resized, run.by_rows), pool, run.failures)
        safe = caught(finish, run.failures, name=lambda item: item.job)
        for finished in ordered_map(safe, takewhile(goes_on, masks), pool, window=segmenter.ahead):
            run.done += bool(finished)
            bar.update()
    return interrupt.exit_code


def _write(run: _Run, job: Job, mask: Mask, segmenter: Segmenter, renders: Mapping[str, Render]) -> None:
    """Writes all outputs of one picture under their names, or none, and one line into the record."""
    if run.record:
        run.record.check()  # writing would make a lost folder anew
    picture = Picture(job, mask, run.whole)
    made: dict[str, Stamp] = {}
    with ExitStack() as stack:
        for kind, target in job.targets.items():
            content = renders[kind](picture)
            if target == STDIN:
                sys.stdout.buffer.write(content)
                sys.stdout.buffer.flush()
                continue
            made[kind] = Stamp.of(stack.enter_context(staged(Path(target), content)))
        line = done_line(job, mask, segmenter)
        if run.record:
            # Recorded before the rename: killed between the two, the next run finds the temporary file by its stamp.
            # The other way round the file would lie there unrecorded, like a stranger's.
            begun, source = run.begun.pop(job.real)
            run.decoded.discard(job.real)
            run.record.append(
                recorded(
                    line, job, run.plan, made=made, source=source, begun=begun, precision=segmenter.precision()
                )
            )  # fmt: skip
    run.show.line(line | {"outputs": dict(job.targets)})


def _tell_plan(plan: Plan, options: WriteOptions, show: Show) -> Written:
    """Prints what a run would do, a line a picture."""
    for line in planned_lines(plan):
        show.planned(line)
    failures = FailureLog(lambda what, why: show.planned(failed_line(what, why)))
    _note_left(plan, failures)
    return Written(options.output, done=0, kept=len(plan.kept), seconds=0.0, failures=tuple(failures.failures),
                   planned=len(plan.jobs))  # fmt: skip


def _note_left(plan: Plan, failures: FailureLog) -> None:
    """Notes what needs no work but a person: outputs left alone, and entries of a list that are refused."""
    for job, why in plan.left:
        failures.failures += [(target, why) for target in job.targets.values()]  # the picture did not fail
    for entry in plan.refused:
        failures.add(entry.path, entry.reason)


@cache
def _stdin() -> bytes:
    return sys.stdin.buffer.read()  # once: an overlay needs its picture twice
