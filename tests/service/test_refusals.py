"""Every refusal has a code, and the page has a text for each in both languages."""

import ast
import re
from pathlib import Path

import pytest

import passerby.service
from passerby.service.cases import says_something

FOLDER = Path(passerby.service.__file__).parent
TEXT = re.compile(r'^\s*"problem\.(\w+)":\s*"(.+)",$', re.M)
HELPERS = {"_try_later": 0, "CodedError": 0, "Refusal": 1}  # function -> which argument is the code
BY_VARIABLE = {"case_closed", "case_expired"}


def words(node: ast.expr) -> set[str]:
    """The texts that an expression may be."""
    return {
        one.value
        for one in ast.walk(node)
        if isinstance(one, ast.Constant) and isinstance(one.value, str)
    }


def codes() -> set[str]:
    """Every code that the service's source gives to a refusal."""
    found: set[str] = set()
    for path in FOLDER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            place = HELPERS.get(node.func.id)
            if place is None:
                continue
            code = node.args[place]
            if isinstance(code, ast.IfExp):
                found |= words(code.body) | words(code.orelse)
            else:
                found |= words(code)
    return found | BY_VARIABLE


def texts(language: str) -> dict[str, str]:
    source = (FOLDER / "static" / "js" / f"problems.{language}.js").read_text(encoding="utf-8")
    return dict(TEXT.findall(source))


def test_the_codes_are_found() -> None:
    assert {"approval_needed", "not_found", "too_many_pictures", "database_fault"} <= codes()
    assert len(codes()) > 35


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_code_has_a_text(language: str) -> None:
    known = texts(language)
    assert sorted(codes() - known.keys()) == []
    for code, text in known.items():
        wide = re.search("[\u4e00-\u9fff]", text) is not None
        assert wide == (language == "zh"), code


@pytest.mark.parametrize("purpose", ["寻人", "找孩子", "走失老人", "실종 아동", "Find him"])
def test_short_words_of_any_language_are_a_reason(purpose: str) -> None:
    assert says_something(purpose)


@pytest.mark.parametrize("purpose", ["", "  ", "x", "find", "寻", " 寻 "])
def test_what_says_nothing_is_none(purpose: str) -> None:
    assert not says_something(purpose)
