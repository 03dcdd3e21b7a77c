"""A run folder: what is in it, the config that repeats it, and what may differ when it is resumed."""

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from segtool import __version__
from segtool.errors import OutputError, UsageError
from segtool.files import write_whole
from segtool.options import TrainOptions
from segtool.settings import Fingerprint, Settings

WEIGHTS, CONFIG, HISTORY, CURVES = "weights.keras", "config.json", "history.csv", "curves.png"
CHECKPOINT, SAMPLES, EVENTS = "checkpoint.npz", "samples", "tensorboard"
GRID_TABLE, GRID_CSV = "grid.md", "grid.csv"
MAY_CHANGE = ("epochs", "patience", "time_budget", "tensorboard")  # on --resume; all else must be as it was
# --config brings the settings of a run, not its place, its data or what it started from.
OF_THE_RUN = ("data", "run", "grid", "name", "init")


def check_new(run: Path) -> None:
    """Raises UsageError unless `run` is free for a new run."""
    if run.exists() and (not run.is_dir() or any(run.iterdir())) and not _stopped_at_once(run):
        raise UsageError(f"{run} is not empty: give a new RUN, or --resume to go on with this one.")


def check_resumable(run: Path) -> None:
    """Raises UsageError unless `run` is one that was begun."""
    if not (run / CHECKPOINT).is_file() and not (run / CONFIG).is_file():
        raise UsageError(f"{run} has no {CHECKPOINT} to resume from.")


def make_folder(run: Path) -> None:
    """Makes the folder of a run, and removes what a run killed in it left half-written. Raises OutputError."""
    try:
        run.mkdir(parents=True, exist_ok=True)
        for torn in (*run.glob(".segtool.*.tmp"), *run.glob(".weights.*.keras"), *run.glob("..weights.*.tmp")):
            torn.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"Cannot make the folder {run}: {error.strerror}.") from error


def read_config(path: Path) -> dict[str, Any]:
    """Returns the `config.json` at `path`, or that of the run folder it names. Raises UsageError."""
    path = path / CONFIG if path.is_dir() else path
    try:
        config: dict[str, Any] = json.loads(path.read_text())
        if not isinstance(config["options"], dict):
            raise TypeError("no options in it")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is not the config of a run ({error}): give the config.json of one.") from error
    return config


def write_config(
    options: TrainOptions, settings: Settings, reasons: Collection[str], found: Fingerprint, masks: Mapping[str, str],
    classes: Collection[Mapping[str, Any]],
) -> None:  # fmt: skip
    """Writes what `read_config` reads: what was asked, what was chosen and why, and what the data was."""
    config = {
        "segtool_version": __version__, "options": asked(options), "settings": asdict(settings),
        "reasons": list(reasons), "fingerprint": asdict(found), "classes": list(classes), "masks": dict(masks),
    }  # fmt: skip
    write_whole(options.run / CONFIG, (json.dumps(config, indent=1) + "\n").encode())


def asked(options: TrainOptions) -> dict[str, Any]:
    """Returns the options as JSON keeps them, less RUN itself."""
    raw = asdict(options)
    raw["data"] = [str(d.resolve()) for d in options.data]
    del raw["run"], raw["grid"]
    return {key: list(value) if isinstance(value, tuple) else value for key, value in raw.items()}


def repeated(options: TrainOptions, config: Mapping[str, Any], given: Collection[str]) -> TrainOptions:
    """Returns `options` with everything but `given`, the names set by hand, as the run of `config` had it.

    What that run chose from its data comes as if it had been asked for.
    """
    before = {**config["options"], **_chosen(config.get("settings") or {})}
    known = {f.name for f in fields(TrainOptions)} - set(OF_THE_RUN) - set(given)
    return replace(options, **{k: _tuples(v) for k, v in before.items() if k in known})


def resumed(options: TrainOptions, config: Mapping[str, Any], given: Collection[str]) -> TrainOptions:
    """Returns the options of the run to go on with, `given` ones as now. Raises UsageError where those differ from
    before and may not.
    """
    before, now = config["options"], asked(options)
    changed = [
        f"{k} {before.get(k)!r} -> {now[k]!r}"
        for k in given
        if k in now and k not in MAY_CHANGE and before.get(k) != now[k]
    ]
    if changed:
        raise UsageError(
            f"--resume goes on with the run as it was, but these differ: {'; '.join(changed)}. "
            "Leave them out, or start a new RUN with --init."
        )
    known = {f.name for f in fields(TrainOptions)} - {"data", "run", "grid"} - set(given)
    return replace(options, **{k: _tuples(v) for k, v in before.items() if k in known})


def stored_settings(config: Mapping[str, Any]) -> Settings:
    """Returns the settings a run was begun with. Raises UsageError when the config is of another segtool."""
    try:
        return Settings(**{k: _tuples(v) for k, v in config["settings"].items()})
    except (KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"The config.json of this run has other settings than this segtool knows ({error})."
        ) from error


def _chosen(settings: Mapping[str, Any]) -> dict[str, Any]:
    chosen = {k: v for k, v in settings.items() if k != "grey"}
    if "class_weights" in chosen:
        chosen["class_weights"] = ",".join(f"{w:g}" for w in chosen["class_weights"]) or "none"
    return chosen


def _tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _stopped_at_once(run: Path) -> bool:
    """Returns whether `run` holds but the config of a run stopped within its first epoch: nothing to lose."""
    return {p.name for p in run.iterdir()} == {CONFIG} and bool(read_config(run / CONFIG))
