"""The command line: one verb, one module, imported only when its verb is called."""

import importlib
import os
import sys
from collections.abc import Sequence

import passerby
from passerby.errors import InputError

# verb -> what it does; the module of the same name in this package has `main(arguments) -> int`
VERBS: dict[str, str] = {
    "demo": "build the demo city, check it against the truth (--check) or serve its page",
    "simulate": "render a simulated city: people, cameras, crops, clips and the truth",
    "check": "say whether a data set can be trained and evaluated on, and why not",
    "train": "train a network by a recipe",
    "ablate": "a paper's ablation table on a data set, beside the printed figures",
    "evaluate": "CMC, mAP and mINP of a network on a data set",
    "report": "rank lists, curves, cameras and failures of a network in one HTML file",
    "embed": "turn pictures of people into vectors",
    "export": "write a network as ONNX, checked against the original",
    "adapt": "let a network learn one's own cameras, without labels",
    "convert": "turn a checkpoint of another toolbox into a weights file with its card",
    "ingest": "bring a clip or a folder of crops into a city: detect, track, embed, store",
    "work": "do the ingest jobs of a queue, on one machine or on many",
    "search": "find a person in a unit of a city",
    "trace": "find a person and reconstruct where they went",
    "serve": "serve a city's page and HTTP API",
    "admin": "accounts, cases, audit, retention, galleries",
    "models": "list published networks, pull them into the cache",
    "model-info": "what a weights file says of itself",
    "bench": "run the benchmarks",
}


def usage() -> str:
    """Return the text of ``passerby --help``."""
    width = max(map(len, VERBS))
    lines = [f"  {verb:<{width}}  {what}" for verb, what in VERBS.items()]
    return "\n".join(
        [
            f"passerby {passerby.__version__}: person re-identification",
            "",
            "usage: passerby VERB [options]     passerby VERB --help",
            "",
            *lines,
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; bad input ends with status 2 and one clear line."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if given[0] in ("-V", "--version", "version"):
        print(passerby.__version__)
        return 0
    verb, rest = given[0], given[1:]
    if verb not in VERBS:
        print(f"passerby: no verb '{verb}'; 'passerby --help' lists them", file=sys.stderr)
        return 2
    try:
        module = importlib.import_module(f"passerby.cli.{verb.replace('-', '_')}")
        return int(module.main(rest) or 0)
    except InputError as error:
        print(f"passerby {verb}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"passerby {verb}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
