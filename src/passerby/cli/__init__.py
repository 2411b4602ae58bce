"""The command line: one tree of verbs; a module is imported when one of its verbs is called."""

import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import passerby
from passerby.errors import InputError, MissingExtraError

LONGEST = 1_000  # characters of an error: a line that was read may be quoted in it
Tree: TypeAlias = "dict[str, tuple[str, str | Tree]]"

# verb -> (what it does, "module:name" in this package, or the tree of its own verbs); the name is
# that of a dataclass of options with main() -> int | None, or of a function of the words -> int
VERBS: Tree = {
    "demo": ("build the demo city, check it against the truth (--check) or serve it", "demo:Demo"),
    "simulate": (
        "render a simulated city: cameras, crops, clips, truth",
        "simulate:Simulate",
    ),
    "check": ("say whether a data set can be trained and evaluated on, and why not", "train:Check"),
    "split": ("divide one's own data into training, query and gallery", "train:Split"),
    "train": ("train a network by a recipe", "train:main"),
    "ablate": ("a paper's ablation table on a data set, beside the printed figures", "ablate:main"),
    "evaluate": ("CMC, mAP and mINP of a network on a data set", "evaluate:Options"),
    "report": ("rank lists, curves, cameras and failures in one HTML file", "report:Report"),
    "embed": ("turn pictures of people into vectors", "embed:Embed"),
    "export": ("write a network as ONNX or OpenVINO, checked against the original", "embed:Export"),
    "adapt": ("let a network learn one's own cameras, without labels", "adapt:Adapt"),
    "convert": ("turn another toolbox's checkpoint into a weights file", "models:Convert"),
    "ingest": ("bring clips, recordings or crops into a city", "ingest:Ingest"),
    "record": ("record a live camera (RTSP) into a city", "record:Record"),
    "work": ("do the ingest jobs of a queue, on one machine or on many", "work:Work"),
    "search": ("find a person in a unit of a city", "search:Search"),
    "trace": ("find a person and reconstruct where they went", "search:Trace"),
    "serve": ("serve a city's page and HTTP API", "serve:Serve"),
    "admin": (
        "accounts, cases, audit, retention, galleries",
        {
            "create": ("make a city from its map files", "admin_city:Create"),
            "stats": ("size and state of a city's gallery", "admin_city:Stats"),
            "doctor": ("look at every part once, one line each", "admin_doctor:Doctor"),
            "verify": ("read a gallery in full and name damage", "admin_city:Verify"),
            "retention": ("delete sightings older than so many days", "admin_city:Retention"),
            "compact": ("make deleted bytes disappear from the disk", "admin_city:Compact"),
            "gallery": (
                "bulk adds, a new model, upkeep, moving",
                {
                    "add": ("add a Parquet table of vectors", "admin_gallery:Add"),
                    "reembed": ("switch to another network", "admin_gallery:Reembed"),
                    "compact": ("make deleted bytes disappear", "admin_city:Compact"),
                    "copy": ("into another store, compared; resumes", "admin_gallery:Copy"),
                    "use": ("say which store a city uses", "admin_gallery:Use"),
                    "upgrade": ("take over an old gallery", "admin_gallery:Upgrade"),
                    "check": ("is it readable, writable, whole?", "admin_gallery:Check"),
                },
            ),
            "snapshot": ("copy a gallery while it is in use", "admin_city:Snapshot"),
            "backup": ("keep a whole city while it is in use", "admin_city:Backup"),
            "restore": ("make a city from a backup, or check one", "admin_city:Restore"),
            "database": (
                "where the catalogue is; its schema",
                {
                    "current": ("where it is, and which schema", "admin_database:Current"),
                    "upgrade": ("bring the schema up to date", "admin_database:Upgrade"),
                    "join": ("a folder joins a shared database", "admin_database:Join"),
                    "move": ("into another database, or back", "admin_database:Move"),
                },
            ),
            "units": (
                "what is known of the units",
                {
                    "list": ("those that meet a condition", "admin_units:ListUnits"),
                    "facts": (
                        "census, land use, weather ...",
                        {
                            "list": ("their names, or values", "admin_units:ListFacts"),
                            "add": ("from CSV, Parquet or GeoJSON", "admin_units:AddFacts"),
                            "rule": ("how one is rolled up", "admin_units:Rule"),
                            "export": ("to CSV, Parquet, GeoJSON", "admin_units:ExportFacts"),
                            "remove": ("all facts of a name", "admin_units:RemoveFacts"),
                        },
                    ),
                },
            ),
            "camera": (
                "cameras, their places and clocks",
                {
                    "list": ("list the cameras, with their history", "admin_camera:ListCameras"),
                    "add": ("add one, or bring one back", "admin_camera:Add"),
                    "move": ("another place or view, from a date on", "admin_camera:Move"),
                    "rename": ("another name, from a date on", "admin_camera:Rename"),
                    "retire": ("take one away, from a date on", "admin_camera:Retire"),
                    "clock": ("correct its clock, or estimate it", "admin_clock:Clock"),
                },
            ),
            "clip": (
                "clips that were ingested",
                {
                    "list": ("list the clips", "admin_clip:ListClips"),
                    "retime": ("give one another start", "admin_clip:Retime"),
                    "delete": ("delete one's sightings and crops", "admin_clip:DeleteClip"),
                    "sheet": ("draw one's crops into a picture", "admin_clip:ContactSheet"),
                },
            ),
            "erase": ("delete chosen sightings or a person's for good", "admin_erase:Erase"),
            "account": (
                "list, add or change accounts",
                {
                    "list": ("list the accounts", "admin_accounts:ListAccounts"),
                    "add": ("create an account", "admin_accounts:AddAccount"),
                    "change": ("password, units, barred or not", "admin_accounts:ChangeAccount"),
                },
            ),
            "case": (
                "list or open cases",
                {
                    "list": ("list the cases, newest first", "admin_accounts:ListCases"),
                    "open": ("open a case for an account", "admin_accounts:OpenCase"),
                },
            ),
            "audit": (
                "verify or show the audit",
                {
                    "verify": ("recompute its chain of hashes", "admin_accounts:VerifyAudit"),
                    "resume": ("let it go on after a loss", "admin_accounts:ResumeAudit"),
                    "show": ("print its newest entries", "admin_accounts:ShowAudit"),
                },
            ),
            "settings": ("show or change the service's policy", "admin_accounts:Change"),
        },
    ),
    "models": (
        "list published networks, pull them into the cache",
        {
            "list": ("list published networks", "models:List"),
            "pull": ("download, check and convert one", "models:Pull"),
        },
    ),
    "model-info": ("what a weights file says of itself", "models:ModelInfo"),
    "bench": ("run the benchmarks", "bench:main"),
}


def usage(program: str, verbs: Tree) -> str:
    """Return the text of ``--help`` for the verbs of ``program``."""
    width = max(map(len, verbs))
    return "\n".join(
        [
            f"usage: {program} VERB [options]     {program} VERB --help",
            "",
            *(f"  {verb:<{width}}  {what}" for verb, (what, _) in verbs.items()),
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; bad input ends with status 2 and one clear line."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] in ("-V", "--version", "version"):
        print(passerby.__version__)
        return 0
    if not words or words[0] in ("-h", "--help", "help"):
        print(f"passerby {passerby.__version__}: person re-identification\n")
    program = "passerby"
    target: str | Tree = VERBS
    while not isinstance(target, str):
        if not words or words[0] in ("-h", "--help", "help"):
            print(usage(program, target))
            return 0
        verb = words.pop(0)
        if verb not in target:
            kind = "verb" if target is VERBS else "sub-verb"
            print(f"{program}: no {kind} '{verb}'; '{program} --help' lists them", file=sys.stderr)
            return 2
        program, target = f"{program} {verb}", target[verb][1]
    try:
        words = load_plugins(words)
        return run(target, words, program)
    except InputError as error:
        text = " ".join(str(error).split())
        cut = f" ... ({len(text) - LONGEST} more characters)" if len(text) > LONGEST else ""
        print(f"{program}: {text[:LONGEST]}{cut}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        missing = MissingExtraError.of(error)
        if missing is None:
            raise
        print(f"{program}: {missing}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{program}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def load_plugins(words: Sequence[str]) -> list[str]:
    """Run the Python file of each ``--plugin FILE`` and return the other words.

    Such a file adds its own parts to the tables of names: ``READERS``, ``BACKBONES``, ``RECIPES``.

    Raises:
        InputError: There is no such file, or it fails.
    """
    rest, files = [], []
    waiting = iter(words)
    for word in waiting:
        name, given, value = word.partition("=")
        if name == "--plugin":
            files.append(value if given else next(waiting, ""))
        else:
            rest.append(word)
    for file in files:
        if not os.path.isfile(file) or not file.endswith(".py"):
            raise InputError(f"there is no plugin '{file}'; give a Python file")
        name = f"passerby_plugin_{Path(file).stem}"
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec and spec.loader
        # options of a recipe are described by the source of their module, which must be known
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            raise InputError(
                f"the plugin '{file}' fails: {type(error).__name__}: {error}"
            ) from error
    return rest


def run(target: str, words: Sequence[str], program: str) -> int:
    """Run the dataclass or function at ``module:name`` of this package and return its status.

    Unknown or malformed options end the program with status 2.
    """
    module, _, name = target.partition(":")
    verb = getattr(importlib.import_module(f"passerby.cli.{module}"), name)
    if not isinstance(verb, type):
        return int(verb(words) or 0)
    import tyro

    return int(tyro.cli(verb, args=list(words), prog=program).main() or 0)
