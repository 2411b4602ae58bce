"""The log of a run: one JSON object a line, consistent with the checkpoint after a kill."""

import json
import os
from pathlib import Path
from typing import Any

BEGIN = "begin"  # the event of what a method found at the start of an epoch


class RunLog:
    """Appends lines to ``log.jsonl``; every line carries the global ``step`` it belongs to."""

    def __init__(self, path: Path, *, step: int = 0) -> None:
        """Open ``path``; lines beyond ``step``, and a half-written last one, are cut off.

        They belong to work that a kill undid and that is about to be done again.
        """
        kept = [line for line in _lines(path) if _stands(line, step)] if step else []
        partial = path.with_name(f".{path.name}.tmp")
        partial.write_text("".join(map(_encode, kept)), encoding="utf-8")
        os.replace(partial, path)
        self._file = path.open("a", encoding="utf-8")

    def write(self, event: str, **values: Any) -> None:
        """Append one line and hand it to the operating system."""
        self._file.write(_encode({"event": event, **values}))
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _stands(line: dict[str, Any], step: int) -> bool:
    """Whether a run that resumes at ``step`` has this line behind it.

    An epoch that was about to begin there begins again.
    """
    place = line.get("step", 0)
    return place < step or (place == step and line.get("event") != BEGIN)


def _encode(values: dict[str, Any]) -> str:
    return json.dumps(values) + "\n"


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return lines
