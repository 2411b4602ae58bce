"""The folder of a run: its options, its commit and machine, its result."""

import json
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import torch

import passerby
from passerby import files
from passerby.errors import InputError
from passerby.train import distributed
from passerby.train.loop import CHECKPOINT

CONFIG = "config.json"
REPORT = "report.json"
MODEL = "model.safetensors"
FINISHED = "finished.pt"  # the last checkpoint of a finished run, from which more epochs go on
# may change when a run goes on; a new precision or number of epochs changes what follows
FREE = ("epochs", "log_every", "checkpoint_every", "progress", "precision", "device", "threads")
SOURCE = Path(passerby.__file__).resolve().parent


def open_run(folder: Path, recipe: str, config: Any) -> dict[str, Any]:
    """Make the run's folder, or open one that was begun with equal options.

    Options in ``FREE`` may differ; what was changed is written into ``config.json``.

    Args:
        folder: The folder; created with its parents.
        recipe: Name of the recipe.
        config: The recipe's frozen dataclass.

    Returns:
        The content of ``config.json``: recipe, commit at the start, and the options.

    Raises:
        InputError: If the folder holds a run with other options, or with unknown ones.
    """
    with distributed.main_first():
        return _open(folder, recipe, as_json(asdict(config)))


def _open(folder: Path, recipe: str, wanted: dict[str, Any]) -> dict[str, Any]:
    path = folder / CONFIG
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        begun = {"recipe": recipe, "commit": commit(), "options": wanted}
        write_json(path, begun)
        return begun
    found = read_json(path)
    options = found.get("options")
    if found.get("recipe") != recipe or not isinstance(options, dict):
        raise InputError(f"'{folder}' holds no run of {recipe}; choose another --out")
    unknown = sorted(options.keys() - wanted.keys())
    if unknown:
        raise InputError(
            f"'{folder}' holds a run with an option that {recipe} does not have: "
            f"{', '.join(unknown)}; choose another --out or delete it"
        )
    changed = sorted(key for key in wanted if key not in options or wanted[key] != options[key])
    fixed = [key for key in changed if key not in FREE]
    if fixed:
        raise InputError(
            f"'{folder}' holds a run with another {', '.join(fixed)}; choose another --out "
            "or delete it"
        )
    if changed:
        before = {key: options.get(key) for key in changed}
        found = {**found, "options": wanted, "before": [*found.get("before", []), before]}
        write_json(path, found)
    return found


def is_finished(folder: Path, epochs: int) -> bool:
    """Whether the run in ``folder`` has ended with this many epochs; a shorter one goes on.

    Raises:
        InputError: The run has more epochs, or fewer and no checkpoint to go on from.
    """
    if not (folder / REPORT).exists():
        return False
    options = read_json(folder / REPORT).get("training", {}).get("options", {})
    done = options.get("epochs", epochs)
    if done == epochs:
        return True
    if done > epochs or not (folder / FINISHED).exists():
        why = f"and no {FINISHED} to go on from" if done < epochs else f"more than {epochs}"
        raise InputError(f"the run in '{folder}' has {done} epochs, {why}; choose another --out")
    if distributed.is_main():
        (folder / FINISHED).rename(folder / CHECKPOINT)
        (folder / REPORT).unlink()
    return False


def is_begun(folder: Path) -> bool:
    """Whether the run in ``folder`` has a checkpoint or has ended."""
    return any((folder / name).exists() for name in (CHECKPOINT, REPORT))


def keep_checkpoint(folder: Path) -> None:
    """Put the last checkpoint of a finished run aside, so that more epochs can follow it."""
    if (folder / CHECKPOINT).exists():
        (folder / CHECKPOINT).replace(folder / FINISHED)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        InputError: If the file is missing, or holds no JSON object.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read '{path}': {error}; delete the run") from error
    if not isinstance(found, dict):
        raise InputError(f"'{path}' holds no options; delete the run")
    return found


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write ``values`` as JSON; the file appears whole or not at all. Only process 0 writes."""
    if distributed.is_main():
        files.write_json(path, values)


def as_json(value: Any) -> Any:
    """Return ``value`` with paths as text and tuples as lists, as JSON would give it back."""
    if isinstance(value, dict):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def with_options(config: Any, values: Mapping[str, Any]) -> Any:
    """Return the dataclass ``config`` with the ``values`` of a ``config.json``.

    Raises:
        InputError: It has no such option.
    """
    unknown = sorted(set(values) - {field.name for field in fields(config)})
    if unknown:
        raise InputError(f"there is no option {', '.join(unknown)}; take it out of the config")
    hints = get_type_hints(type(config))
    made = {
        name: _typed(value, getattr(config, name), hints[name]) for name, value in values.items()
    }
    return replace(config, **made)


def _typed(value: Any, default: Any, hint: Any) -> Any:
    """Give a value of JSON the type of an option: a path, a tuple, or options of a part."""
    if is_dataclass(default) and isinstance(value, dict):
        return with_options(default, value)
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, str) and (hint is Path or Path in get_args(hint)):
        return Path(value)
    return value


def commit() -> str:
    """Return the commit of the source tree, marked when changed, or the version without a tree."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, cwd=SOURCE, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return f"version {passerby.__version__}"
    return done.stdout.strip()


def machine(device: str) -> str:
    """Return the name of the processor or accelerator of ``device``."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(torch.device(device))
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name}, {torch.get_num_threads()} threads"
