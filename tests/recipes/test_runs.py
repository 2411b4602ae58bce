"""Runs that go on, are repeated or extended, and parts of one's own."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from passerby.cli import main
from passerby.data import CropTable, read
from passerby.errors import InputError
from passerby.models import load
from passerby.recipes.bag_of_tricks import BagOfTricks, BagOfTricksMethod, run
from passerby.recipes.cluster_contrast import run as run_contrast
from passerby.recipes.cluster_contrast import small_from_scratch
from tests.recipes.tiny import LABELS, tiny

TINY = tiny(BagOfTricks(), epochs=2, schedule="steps", warmup=0, learning_rate=1e-3)
DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def table(market: Path) -> CropTable:
    return read("market1501", market)


def weights(folder: Path) -> list[torch.Tensor]:
    return list(load(folder / "model.safetensors")[0].state_dict().values())


def events(folder: Path, name: str) -> list[dict]:
    lines = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return [line for line in lines if line["event"] == name]


@pytest.mark.slow
def test_a_finished_run_is_extended_as_if_it_had_gone_through(
    table: CropTable, tmp_path: Path
) -> None:
    run(replace(TINY, out=tmp_path / "whole"), table)
    run(replace(TINY, out=tmp_path / "parts", epochs=1), table)
    first = weights(tmp_path / "parts")
    again = replace(TINY, out=tmp_path / "parts", log_every=7, checkpoint_every=3)
    run(again, table)
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(torch.equal(a, b) for a, b in zip(whole, parts, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, parts, strict=True))
    assert [line["epoch"] for line in events(tmp_path / "parts", "epoch")] == [1, 2]
    config = json.loads((tmp_path / "parts" / "config.json").read_text())
    assert config["options"]["epochs"] == 2
    assert config["before"][0]["epochs"] == 1
    run(replace(again, epochs=3, precision="bf16"), table)  # another precision goes on too
    assert len(events(tmp_path / "parts", "epoch")) == 3
    with pytest.raises(InputError, match="has 3 epochs, more than 2"):
        run(again, table)
    with pytest.raises(InputError, match="holds a run with another seed"):
        run(replace(again, epochs=3, seed=5), table)


def test_a_run_without_a_test_and_its_repetition(
    table: CropTable, market: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = tmp_path / "train.csv"
    lines = [f"{market / row}" for row in table.train.path.tolist()]
    rows = zip(lines, table.train.identity.tolist(), table.train.camera.tolist(), strict=True)
    train.write_text(
        "path,identity,camera,split\n" + "".join(f"{p},{i},{c},train\n" for p, i, c in rows)
    )
    given = [
        "--data", str(train), "--backbone", "slim18", "--size", "64", "32", "--padding", "3",
        "--identities", "8", "--epochs", "1", "--threads", "1", "--log-every", "1",
    ]  # fmt: skip
    assert main(["train", "bag-of-tricks", *given, "--out", str(tmp_path / "a")]) == 0
    said = capsys.readouterr().err
    assert "slim18 starts from RANDOM weights" in said
    assert re.search(r"epoch 1, step 1: .*identity \d", said)  # lines, as this is no terminal
    config = str(tmp_path / "a" / "config.json")
    assert main(["train", "--config", config, "--out", str(tmp_path / "b"), "--no-progress"]) == 0
    pairs = zip(weights(tmp_path / "a"), weights(tmp_path / "b"), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    assert "mAP" not in json.loads((tmp_path / "a" / "report.json").read_text())
    assert main(["train", "agw", "--config", config]) == 2
    assert "is of bag-of-tricks, not of agw" in capsys.readouterr().err
    assert main(["train", "--config", str(tmp_path / "a" / "report.json")]) == 2
    assert "is no config.json of a run" in capsys.readouterr().err
    assert main(["train", "bag-of-trick", *given]) == 2
    assert "is 'bag-of-tricks' meant?" in capsys.readouterr().err


def test_what_check_calls_an_error_stops_training(table: CropTable, tmp_path: Path) -> None:
    for broken, words in (
        (table.select(table.split != "train"), "has no train rows"),
        (table.select(table.split != "query"), "has no query rows"),
        (replace(table, identity=table.identity % 20 + 1), "are in training and test alike"),
        (replace(table, root=tmp_path), "none of the .* pictures is there"),
    ):
        with pytest.raises(InputError, match=words):
            run(replace(TINY, out=tmp_path / "out"), broken)
        with pytest.raises(InputError):
            run_contrast(replace(small_from_scratch(), out=tmp_path / "out"), broken.select([]))
    assert not (tmp_path / "out").exists()


def test_a_folder_appears_when_the_network_stands(table: CropTable, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no architecture 'slim81'"):
        run(replace(TINY, out=tmp_path / "out", backbone="slim81"), table)
    contrast = replace(small_from_scratch(), backbone="slim81", tracklet_epochs=0)
    with pytest.raises(InputError, match="no architecture 'slim81'"):
        run_contrast(replace(contrast, out=tmp_path / "out", identities=4), table)
    assert not (tmp_path / "out").exists()


def test_a_collapse_is_seen_and_learning_is_not() -> None:
    method = BagOfTricksMethod(TINY, LABELS)  # 8 people: ln 8 = 2.0794
    assert "margin 0.30, identity loss at ln 8" in method.warning(
        {"identity": 2.08, "triplet": 0.3}
    )
    assert method.warning({"identity": 1.2, "triplet": 0.3}) is None
    assert method.warning({"identity": 2.08, "triplet": 0.45}) is None
    soft = BagOfTricksMethod(replace(TINY, margin=None), LABELS)
    assert "margin 0.69" in soft.warning({"identity": 2.08, "triplet": 0.6931})
    assert soft.warning({"identity": 2.08, "triplet": 0.3}) is None


def test_a_network_that_collapses_is_said(
    table: CropTable, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # equal features for every picture: a network without any contrast in its last layer
    class Collapsed(BagOfTricksMethod):
        def losses(self, batch):
            for parameter in self.network.backbone.parameters():
                parameter.data.zero_()
            return super().losses(batch)

    from passerby.recipes import supervised

    supervised.run("bag-of-tricks", Collapsed, replace(TINY, out=tmp_path, epochs=1), table.train)
    assert "nearly the same feature" in events(tmp_path, "warning")[0]["text"]
    assert "nearly the same feature" in capsys.readouterr().err


def test_the_parts_of_the_docs_page_train_and_are_evaluated(
    table: CropTable, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "extending.md").read_text(), re.DOTALL)
    plugin = tmp_path / "mine.py"
    plugin.write_text("\n".join(blocks))
    root = tmp_path / "set"
    root.mkdir()
    from PIL import Image

    rows = zip(
        table.paths(), table.identity.tolist(), table.camera.tolist(), table.split, strict=True
    )
    for number, (path, person, camera, split) in enumerate(rows):
        Image.open(path).save(root / f"{person}-{camera}-{split}-{number}.png")
    given = ["--plugin", str(plugin), "--data", f"pairs:{root}"]
    tiny_run = [
        "--out", str(tmp_path / "run"), "--size", "64", "32", "--padding", "3", "--identities", "8",
        "--epochs", "1", "--threads", "1", "--no-progress",
    ]  # fmt: skip
    assert main(["train", "mine", *given, *tiny_run, "--pair-weight", "2"]) == 0
    assert events(tmp_path / "run", "epoch")[0]["losses"].keys() >= {"identity", "pairs"}
    model = str(tmp_path / "run" / "model.safetensors")
    assert main(["evaluate", model, *given, "--runtime", "torch", "--no-scores", "--json"]) == 0
    assert 0.0 < json.loads(capsys.readouterr().out.splitlines()[-1])["mAP"] <= 1.0


def test_a_plugin_that_fails_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.py").write_text("raise KeyError('x')\n")
    for file, words in (("bad.py", "fails: KeyError: 'x'"), ("none.py", "there is no plugin")):
        assert main(["check", "nowhere", "--plugin", str(tmp_path / file)]) == 2
        assert words in capsys.readouterr().err


def test_two_sets_are_learned_from_together(market: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    for name in ("bounding_box_train", "query", "bounding_box_test"):
        (tmp_path / "other" / name).symlink_to(market / name)
    given = [
        "--backbone", "slim18", "--size", "64", "32", "--padding", "3", "--identities", "8",
        "--epochs", "1", "--threads", "1", "--no-progress", "--out", str(tmp_path / "run"),
    ]  # fmt: skip
    sets = [str(market), str(tmp_path / "other")]
    assert main(["train", "bag-of-tricks", "--data", *sets, *given]) == 0
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["data"] == f"{market.name}+other"
    assert report["training"]["identities"] == 32
