"""Choices of runtimes that were made on this machine, in the user's cache.

``<cache>/runtimes/<model id>-<hash>.json``; the hash is of all that the choice depends on, so that
another processor or another version of a library asks anew.
"""

import hashlib
import importlib.metadata
import json
import os
import platform
from dataclasses import asdict
from functools import cache
from pathlib import Path

import passerby
from passerby.models.zoo.cache import cache_folder
from passerby.runtime.choice import Candidate, Choice, usable_cores

FORMAT = 2
LIBRARIES = ("torch", "onnxruntime", "openvino")


def recall(model_id: str, kind: str, precision: str) -> Choice | None:
    """The choice for a network, if one was made here.

    Args:
        model_id: of the network.
        kind: of its file: ".safetensors", ".onnx" or ".xml".
        precision: that was asked for.
    """
    try:
        values = json.loads(_path(model_id, kind, precision).read_text(encoding="utf-8"))
        return Choice(
            picks={int(n): Candidate(**one) for n, one in values["picks"].items()},
            rates={
                name: {int(n): float(rate) for n, rate in row.items()}
                for name, row in values["rates"].items()
            },
            left_out=dict(values["left_out"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def chosen(model_id: str, kind: str) -> dict[str, str]:
    """What "auto" takes for a network on this machine, by precision, as far as it was tried.

    Returns:
        "auto" and "fastest" -> words such as "openvino fp32 (612/s)" for each measured batch.
    """
    found = {}
    for asked, precision in (("auto", "fp32"), ("fastest", "fastest")):
        if choice := recall(model_id, kind, precision):
            words = []
            for batch, one in choice.picks.items():
                rate = choice.rates.get(str(one), {}).get(batch)
                words.append(f"batch {batch}: {one}" + (f", {rate:.0f}/s" if rate else ""))
            found[asked] = "; ".join(words)
    return found


def remember(choice: Choice, model_id: str, kind: str, precision: str) -> None:
    """Keep a choice that is certain; without a cache that can be written, it is made each time."""
    if not choice.certain:
        return
    path = _path(model_id, kind, precision)
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(asdict(choice), indent=2) + "\n", encoding="utf-8")
        os.replace(partial, path)
    except OSError:
        partial.unlink(missing_ok=True)


def _path(model_id: str, kind: str, precision: str) -> Path:
    import torch

    facts = [FORMAT, kind, precision, torch.get_num_threads(), *_machine()]
    digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]
    return cache_folder() / "runtimes" / f"{model_id}-{digest}.json"


@cache
def _machine() -> tuple[str, ...]:
    """Processor, cores that may be used, system, and versions."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        kinds = {line for line in lines if line.startswith(("model name", "flags"))}
        processor += "".join(sorted(kinds))
    versions = [f"{name} {_version(name)}" for name in LIBRARIES]
    return (processor, str(usable_cores()), platform.system(), passerby.__version__, *versions)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"
