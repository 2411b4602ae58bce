"""Links of the documents lead somewhere, and their commands have the options that they show."""

import contextlib
import io
import re
import shlex
from functools import cache
from pathlib import Path

import pytest

from passerby.cli import main

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^```[a-z]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
GROUPS = {"admin": 4, "models": 2, "train": 2, "ablate": 2, "bench": 2}  # words of a verb
OF_SHELL = {"|", "&&", ";", ">", "2>", "#"}


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and MyST make them."""
    heads = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head).strip().lower().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    dead = []
    for link in LINK.findall(page.read_text("utf-8")):
        if "://" in link or link.startswith("mailto:"):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        whole = target.exists() and (not anchor or anchor in anchors(target))
        dead += [] if whole else [link]
    assert dead == []


def commands(page: Path) -> list[list[str]]:
    """The calls of ``passerby`` in the code blocks of a page, in words."""
    found = []
    for block in BLOCK.findall(page.read_text("utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            call = re.sub(r"\s#.*", "", line).strip()
            if call.startswith("passerby "):
                words = shlex.split(call)
                end = next((n for n, word in enumerate(words) if word in OF_SHELL), len(words))
                found.append(words[1:end])
    return found


@cache
def help_of(verb: tuple[str, ...]) -> str:
    """What ``passerby VERB --help`` prints, with all its groups of options."""
    with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.suppress(SystemExit):
        main([*verb, "--help"])
    return printed.getvalue()


def verb_of(words: list[str]) -> tuple[str, ...]:
    """The words that name the verb, of which the last may be missing."""
    most = GROUPS.get(words[0], 1)
    plain = [word for word in words[:most] if re.fullmatch(r"[a-zA-Z0-9][\w-]*", word)]
    for length in range(len(plain), 0, -1):
        if "usage" in help_of(tuple(plain[:length])):
            return tuple(plain[:length])
    return ()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_have_the_options_that_are_shown(page: Path) -> None:
    unknown = []
    for words in commands(page):
        if words[0].isupper() or "--plugin" in words:
            continue  # passerby VERB; recipes of plug-ins are run by their own tests
        options = [word.partition("=")[0] for word in words if re.match(r"--[a-z]", word)]
        text = help_of(verb_of(words))
        assert text, words
        unknown += [
            f"{' '.join(words[:3])} {option}"
            for option in options
            if not re.search(rf"{re.escape(option)}(?![\w-])", text)
        ]
    assert unknown == []
