"""The tree of verbs: every verb can be called, helps, and refuses what it does not know."""

import dataclasses
import importlib
import sys
from collections.abc import Iterator

import pytest

from passerby.cli import VERBS, Tree, main

FUNCTIONS = {"train", "ablate", "bench"}  # their options depend on the first word


def leaves(tree: Tree, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    for verb, (_, target) in tree.items():
        if isinstance(target, str):
            yield (*path, verb), target
        else:
            yield from leaves(target, (*path, verb))


def groups(tree: Tree, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Tree]]:
    yield path, tree
    for verb, (_, target) in tree.items():
        if not isinstance(target, str):
            yield from groups(target, (*path, verb))


LEAVES = dict(leaves(VERBS))
GROUPS = dict(groups(VERBS))


def test_the_promised_verbs_are_there() -> None:
    promised = "check simulate train evaluate embed export convert ingest search trace serve report"
    assert {*promised.split(), "bench", "admin"} <= VERBS.keys()


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_every_verb_has_help(path: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    module, _, name = LEAVES[path].partition(":")
    verb = getattr(importlib.import_module(f"passerby.cli.{module}"), name)
    assert dataclasses.is_dataclass(verb) != (path[0] in FUNCTIONS)
    try:
        assert main([*path, "--help"]) == 0
    except SystemExit as stopped:
        assert stopped.code == 0
    said = capsys.readouterr().out
    assert f"passerby {' '.join(path)}" in said
    if path[0] not in FUNCTIONS:
        assert verb.__doc__.split()[0] in said


@pytest.mark.parametrize("path", GROUPS, ids=lambda path: " ".join(path) or "passerby")
@pytest.mark.parametrize("words", [[], ["-h"], ["--help"]])
def test_a_group_lists_its_verbs(
    path: tuple[str, ...], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*path, *words]) == 0
    said = capsys.readouterr().out
    assert f"usage: {' '.join(['passerby', *path])} VERB" in said
    for verb, (what, _) in GROUPS[path].items():
        assert any(line.split() == [verb, *what.split()] for line in said.splitlines())


@pytest.mark.parametrize("path", GROUPS, ids=lambda path: " ".join(path) or "passerby")
def test_an_unknown_verb_is_status_2(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*path, "fly", "--far"]) == 2
    said = capsys.readouterr()
    program = " ".join(["passerby", *path])
    assert said.err.count("\n") == 1
    assert said.err.startswith(f"{program}: no ")
    assert f"'fly'; '{program} --help' lists them" in said.err
    assert not said.out


def test_a_missing_package_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "passerby.cli.bench", None)
    with pytest.raises(ModuleNotFoundError):  # a fault of the installation is not an extra
        main(["bench", "x"])

    def fail(words: object) -> int:
        raise ModuleNotFoundError("No module named 'apsw'", name="apsw.ext")

    monkeypatch.setattr("passerby.cli.train.main", fail)
    assert main(["train", "x"]) == 2
    said = capsys.readouterr().err
    assert said == (
        "passerby train: this needs the package 'apsw'; install it with: "
        "pip install 'passerby[city]'\n"
    )
