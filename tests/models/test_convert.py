import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from passerby.cli import main
from passerby.errors import InputError
from passerby.models import ReidNetwork, build, convert, load
from passerby.models.convert import SOURCES, identify

State = dict[str, Tensor]


class Remember:
    """Something that a file must not be able to run."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("raise SystemExit('executed')",))


def random_network(architecture: str, **options: Any) -> ReidNetwork:
    """A network in whose output every tensor shows."""
    torch.manual_seed(0)
    network = build(architecture, **options)
    for key, value in network.state_dict().items():
        if key.endswith("running_mean"):
            value.normal_(std=0.1)
        elif key.endswith("running_var"):
            value.uniform_(0.8, 1.3)
        elif value.is_floating_point() and value.dim() == 1 and key != "pool.p":
            value.add_(0.1 * torch.randn_like(value))
    return network.eval()


def renamed(network: nn.Module, *rules: tuple[str, str]) -> State:
    """State of our network under foreign names: the first pattern that fits is replaced."""
    made = {}
    for key, value in network.state_dict().items():
        new = next((re.sub(p, r, key) for p, r in rules if re.match(p, key)), None)
        assert new is not None, key
        made[new] = value.clone()
    return made


def in_blocks(stage: int, first: int) -> tuple[str, str]:
    """Our non-local blocks, numbered by residual block, as numbered within their stage."""
    return rf"backbone\.non_local\.{stage}_{first}\.", f"NL_{stage}.0."


BASE = r"backbone\.(conv1|bn1|layer\d)"


def torchreid_resnet() -> tuple[ReidNetwork, State]:
    network = random_network("resnet18", num_classes=5, last_stride=2, neck=False)
    state = renamed(network, (BASE, r"\1"), ("classifier", "classifier"))
    return network, state


def torchreid_fc512() -> tuple[ReidNetwork, State]:
    network = random_network(
        "embedded:resnet18", num_classes=5, neck=False, structure={"embedding": 512}
    )
    rules = ((BASE, r"\1"), (r"embed", "fc"), ("classifier", "classifier"))
    return network, renamed(network, *rules)


OSNET_BLOCK = r"backbone\.stages\.(\d)\.(\d)\."


def osnet(architecture: str) -> tuple[ReidNetwork, State]:
    network = random_network(f"embedded:{architecture}", num_classes=5, neck=False)
    plain = renamed(
        network,
        (r"backbone\.(conv[15])", r"\1"),
        (r"embed", "fc"),
        (r"classifier", "classifier"),
        (OSNET_BLOCK, r"stage\1.\2."),
        (r"backbone\.transitions\.(\d)\.", r"transition\1."),
    )
    made = {}
    for key, value in plain.items():
        new = re.sub(r"stage(\d)", lambda m: f"conv{int(m[1]) + 2}", key)
        if "ain" in architecture:
            new = re.sub(r"streams\.(\d)\.", r"conv2.\1.layers.", new)
            new = re.sub(r"transition(\d)", lambda m: f"pool{int(m[1]) + 2}", new)
        else:
            new = re.sub(r"streams\.0\.0\.", "conv2a.", new)
            new = re.sub(r"streams\.(\d)\.", lambda m: f"conv2{'abcd'[int(m[1])]}.", new)
            new = re.sub(r"transition(\d)", lambda m: f"conv{int(m[1]) + 2}.2", new)
        made[new] = value
    return network, made


def strong_baseline() -> tuple[ReidNetwork, State]:
    network = random_network("resnet18", num_classes=5, structure={"stem_relu": False})
    rules = ((BASE, r"base.\1"), (r"bnneck", "bottleneck"), ("classifier", "classifier"))
    return network, renamed(network, *rules)


AGW: dict[str, Any] = {"stem_relu": False, "non_local": "agw"}


def agw() -> tuple[ReidNetwork, State]:
    network = random_network("resnet50", pooling="gem", structure=AGW)
    rules = (
        (BASE, r"base.\1"),
        (r"backbone\.non_local\.2_2", "base.NL_2.0"),
        (r"backbone\.non_local\.2_3", "base.NL_2.1"),
        (r"backbone\.non_local\.3_3", "base.NL_3.0"),
        (r"backbone\.non_local\.3_4", "base.NL_3.1"),
        (r"backbone\.non_local\.3_5", "base.NL_3.2"),
        (r"pool\.p", "global_pool.p"),
        (r"bnneck", "bottleneck"),
    )
    return network, renamed(network, *rules)


def fastreid(neck: str, classifier: str, pool: str) -> tuple[ReidNetwork, State]:
    network = random_network("resnet18-ibn", num_classes=5, structure={"stem_pool": pool})
    rules = ((BASE, r"backbone.\1"), (r"bnneck", neck), (r"classifier.weight", classifier))
    state = renamed(network, *rules)
    state["pixel_mean"] = torch.zeros(1, 3, 1, 1)
    state["pixel_std"] = torch.ones(1, 3, 1, 1)
    return network, state


def cluster_contrast() -> tuple[ReidNetwork, State]:
    network = random_network("resnet18", pooling="gem")
    rules = (
        (r"backbone\.conv1", "module.base.0"),
        (r"backbone\.bn1", "module.base.1"),
        *((rf"backbone\.layer{n}", f"module.base.{n + 3}") for n in (1, 2, 3, 4)),
        (r"pool", "module.gap"),
        (r"bnneck", "module.feat_bn"),
    )
    return network, renamed(network, *rules)


def open_unreid() -> tuple[ReidNetwork, State]:
    network = random_network("resnet18", num_classes=5)
    rules = ((BASE, r"backbone.\1"), (r"bnneck", "head.feat_bn"), ("classifier", "classifier"))
    return network, renamed(network, *rules)


def pyramid() -> tuple[ReidNetwork, State]:
    network = random_network("pyramid:resnet18", num_classes=5)
    state = network.state_dict()
    made = {
        key.replace("backbone.", "base."): value
        for key, value in state.items()
        if key.startswith("backbone.")
    }
    for number in range(21):
        branch = slice(128 * number, 128 * number + 128)
        prefix = f"pyramid_conv_list0.{number}"
        made[f"{prefix}.0.weight"] = state["embed.weight"][number][:, :, None, None].clone()
        made[f"{prefix}.0.bias"] = state["embed.bias"][number].clone()
        for name in ("weight", "bias", "running_mean", "running_var"):
            made[f"{prefix}.1.{name}"] = state[f"norm.{name}"][branch].clone()
        made[f"{prefix}.1.num_batches_tracked"] = torch.tensor(7)
        made[f"pyramid_fc_list0.{number}.weight"] = state["classifiers.weight"][number].clone()
        made[f"pyramid_fc_list0.{number}.bias"] = state["classifiers.bias"][number].clone()
        made[f"pyramid_conv_list1.{number}.0.weight"] = torch.zeros(3)
    return network, made


CASES: dict[str, tuple[Callable[[], tuple[ReidNetwork, State]], str]] = {
    "torchreid": (torchreid_resnet, "torchreid ResNet"),
    "torchreid-fc512": (torchreid_fc512, "torchreid ResNet"),
    "osnet": (lambda: osnet("osnet_x0_25"), "torchreid OSNet"),
    "osnet-ibn": (lambda: osnet("osnet_ibn_x1_0"), "torchreid OSNet"),
    "osnet-ain": (lambda: osnet("osnet_ain_x0_25"), "torchreid OSNet"),
    "strong-baseline": (strong_baseline, "reid-strong-baseline"),
    "agw": (agw, "reid-strong-baseline"),
    "fast-reid-0.1": (
        lambda: fastreid("heads.bnneck", "heads.classifier.weight", "padding"),
        "fast-reid",
    ),
    "fast-reid-1.0": (
        lambda: fastreid("heads.bottleneck.0", "heads.classifier.weight", "ceil"),
        "fast-reid",
    ),
    "fast-reid-1.3": (
        lambda: fastreid("heads.bottleneck.0", "heads.weight", "ceil"),
        "fast-reid",
    ),
    "cluster-contrast": (cluster_contrast, "Cluster Contrast"),
    "open-unreid": (open_unreid, "OpenUnReID"),
    "pyramid": (pyramid, "Tencent Pyramid"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_foreign_file_gives_the_same_features(case: str, tmp_path: Path) -> None:
    make, source = CASES[case]
    original, state = make()
    assert identify({k.removeprefix("module."): v for k, v in state.items()}).name.startswith(
        source
    )
    path = tmp_path / "model.pth.tar"
    torch.save({"state_dict": state, "epoch": 60, "rank1": np.float64(0.9)}, path)
    network, card = convert(path)
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(2, 3, 192, 64, generator=generator)
    with torch.no_grad():
        torch.testing.assert_close(network(images), original(images))
    assert not network.training
    assert card.dimension == network.dimension
    assert card.training["source"].startswith(source)
    assert card.training["converted_from"] == "model.pth.tar"
    assert len(card.training["sha256"]) == 64


def test_what_no_file_says_follows_from_its_source(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    facts = {}
    for case in ("strong-baseline", "fast-reid-0.1", "fast-reid-1.3", "cluster-contrast"):
        torch.save(CASES[case][0]()[1], path)
        card = convert(path)[1]
        facts[case] = (dict(card.structure), card.interpolation, card.feature)
    assert facts == {
        "strong-baseline": ({"stem_relu": False}, "bilinear", "after_bn"),
        "fast-reid-0.1": ({}, "bicubic", "after_bn"),
        "fast-reid-1.3": ({"stem_pool": "ceil"}, "bicubic", "after_bn"),
        "cluster-contrast": ({}, "bicubic", "after_bn"),
    }
    torch.save(pyramid()[1], path)
    card = convert(path)[1]
    assert card.input_size == (384, 128)
    assert len(card.training["left_out"]) == 21


def test_counters_and_frozen_biases_that_old_files_lack_are_filled_in(tmp_path: Path) -> None:
    original, state = strong_baseline()
    original.bnneck.bias.data.zero_()  # type: ignore[union-attr,operator]
    old = {k: v for k, v in state.items() if "num_batches" not in k and k != "bottleneck.bias"}
    torch.save(old, tmp_path / "old.pth")
    images = torch.randn(2, 3, 64, 32)
    with torch.no_grad():
        torch.testing.assert_close(convert(tmp_path / "old.pth")[0](images), original(images))


def test_files_that_would_run_code_are_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": {"a": torch.zeros(1)}, "hook": Remember()}, tmp_path / "bad.pth")
    with pytest.raises(InputError, match="would execute code"):
        convert(tmp_path / "bad.pth")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("base.layer4.1.conv2.weight"), "lacks 1 tensors"),
        (lambda s: s.update({"base.extra": torch.zeros(1)}), "'base.extra'"),
        (lambda s: s.update({"bottleneck.weight": torch.zeros(3)}), "differs in 1 tensors"),
        (lambda s: s["bottleneck.weight"].fill_(float("nan")), "NaN"),
        (lambda s: s.update({f"base.layer4.2.{k}": s[f"base.layer4.1.{k}"] for k in (
            "conv1.weight", "conv2.weight")}), "no known residual network"),
        (dict.clear, "no plain dictionary"),
    ],
)  # fmt: skip
def test_nothing_is_lost_or_guessed(
    tmp_path: Path, change: Callable[[State], Any], message: str
) -> None:
    state = strong_baseline()[1]
    change(state)
    torch.save(state, tmp_path / "model.pth")
    with pytest.raises(InputError, match=message) as found:
        convert(tmp_path / "model.pth")
    assert "model.pth" in str(found.value)


def test_an_unknown_layout_names_the_known_ones() -> None:
    with pytest.raises(InputError, match="of no toolbox that can be converted") as found:
        identify({"encoder.weight": torch.zeros(1)})
    assert all(source.name in str(found.value) for source in SOURCES)


def test_the_verb_writes_a_file_that_loads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    original, state = osnet("osnet_x0_25")
    torch.save(state, tmp_path / "osnet.pth")
    out = tmp_path / "osnet.safetensors"
    given = ["convert", str(tmp_path / "osnet.pth"), "--out", str(out)]
    assert main([*given, "--licence", "MIT", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["architecture"] == "embedded:osnet_x0_25"
    network, card = load(out)
    assert card.licence == "MIT"
    images = torch.randn(2, 3, 128, 64)
    with torch.no_grad():
        torch.testing.assert_close(network(images), original(images))
    assert main(given) == 2
    assert "exists" in capsys.readouterr().err
    assert main([*given, "--force"]) == 0
    assert "licence" in capsys.readouterr().out
    assert main(["convert", str(tmp_path / "none.pth"), "--out", str(out), "--force"]) == 2
    assert "no weights file" in capsys.readouterr().err
    assert main(["convert", str(tmp_path / "osnet.pth"), "--out", "model.onnx"]) == 2
    assert "must end in .safetensors" in capsys.readouterr().err
