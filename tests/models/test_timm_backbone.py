"""Networks of timm: their outputs, their sizes, their own weights."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from passerby.errors import InputError
from passerby.models import ModelCard, Preprocessing, build, preprocessing, save

timm = pytest.importorskip("timm")


@pytest.mark.parametrize("name", ["test_vit", "test_vit2", "test_convnext", "test_resnet"])
def test_forward_and_backward_reach_every_trainable_parameter(name: str) -> None:
    torch.manual_seed(0)
    network = build(f"timm:{name}", num_classes=3, input_size=(64, 32))
    output = network(torch.randn(4, 3, 64, 32))
    loss = nn.functional.cross_entropy(output.logits, torch.tensor([0, 1, 2, 0]))
    (loss + output.before_bn.square().mean()).backward()
    for key, parameter in network.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, key
            assert torch.isfinite(parameter.grad).all(), key


def test_parameters_of_a_head_that_is_not_used_are_frozen() -> None:
    backbone = build("timm:test_convnext").backbone
    frozen = {key for key, p in backbone.named_parameters() if not p.requires_grad}
    assert frozen == {"network.head.norm.weight", "network.head.norm.bias"}


def test_token_options() -> None:
    images = torch.randn(2, 3, 64, 32)
    found = {}
    for tokens in ("auto", "class", "average", "map"):
        torch.manual_seed(0)
        network = build("timm:test_vit", input_size=(64, 32), structure={"tokens": tokens}).eval()
        found[tokens] = network.backbone(images)
        rows = network.backbone.network.forward_features(images)  # class token, 4 x 2 patches
        assert rows.shape == (2, 9, 64)
    assert torch.equal(found["auto"], found["class"])
    torch.testing.assert_close(found["class"][:, :, 0, 0], rows[:, 0])
    torch.testing.assert_close(found["average"][:, :, 0, 0], rows[:, 1:].mean(dim=1))
    assert found["map"].shape == (2, 64, 4, 2)
    torch.testing.assert_close(found["map"][:, :, 3, 1], rows[:, 8])
    torch.testing.assert_close(found["map"][:, :, 2, 0], rows[:, 5])


def test_swin_gives_a_map() -> None:
    with torch.device("meta"):
        network = build("timm:swin_tiny_patch4_window7_224", input_size=(256, 128))
        assert network.backbone(torch.empty(1, 3, 256, 128)).shape == (1, 768, 8, 4)


def test_position_embeddings_of_a_file_are_resampled(tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = timm.create_model("test_vit", num_classes=10)
    torch.save(theirs.state_dict(), tmp_path / "vit.pth")
    network = build("timm:test_vit", input_size=(96, 64), weights=tmp_path / "vit.pth").eval()
    theirs.set_input_size(img_size=(96, 64))
    theirs.eval().reset_classifier(0)
    images = torch.randn(2, 3, 96, 64)
    with torch.no_grad():
        torch.testing.assert_close(network.pool(network.backbone(images)), theirs(images))


def test_a_file_of_passerby_changes_its_size(tmp_path: Path) -> None:
    torch.manual_seed(0)
    first = build("timm:test_vit", input_size=(96, 64))
    nn.init.normal_(first.backbone.network.pos_embed)
    card = ModelCard(architecture="timm:test_vit", dimension=64, input_size=(96, 64))
    save(first, card, tmp_path / "first.safetensors")
    second = build(
        "timm:test_vit", input_size=(128, 64), weights=tmp_path / "first.safetensors"
    ).backbone.network
    assert second.pos_embed.shape == (1, 1 + 8 * 4, 64)
    theirs = first.backbone.network
    theirs.set_input_size(img_size=(128, 64))
    torch.testing.assert_close(second.pos_embed, theirs.pos_embed)
    assert torch.equal(second.blocks[0].mlp.fc1.weight, theirs.blocks[0].mlp.fc1.weight)


def test_files_of_another_network_do_not_fit(tmp_path: Path) -> None:
    save_file(timm.create_model("test_vit3").state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="does not fit the backbone"):
        build("timm:test_vit", weights=tmp_path / "other.safetensors")


def test_preprocessing_is_the_networks_own() -> None:
    assert preprocessing("resnet50") == Preprocessing()
    assert preprocessing("fpb:resnet50").interpolation == "bilinear"
    half = (0.5, 0.5, 0.5)
    expected = Preprocessing(mean=half, std=half, interpolation="bicubic")
    assert preprocessing("timm:vit_base_patch16_224.augreg_in21k") == expected
    assert preprocessing("parts:timm:vit_tiny_patch16_224") == expected
    assert preprocessing("timm:convnext_tiny").mean == Preprocessing().mean
    with pytest.raises(InputError, match="no network 'nothing'"):
        preprocessing("timm:nothing")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"structure": {"tokens": "first"}}, "choose from auto, class, average, map"),
        ({"structure": {"drop_path": 1.0}}, "'drop_path' 1.0"),
        ({"structure": {"stem_relu": False}}, "its options are: drop_path, tokens"),
        ({"pooling": "gem"}, "leave the pooling at average"),
        ({"input_size": (65, 33)}, "does not"),
        ({"architecture": "timm:test_convnext", "structure": {"tokens": "class"}}, "class token"),
        ({"architecture": "timm:mixer_s16_224"}, "does not run on"),
    ],
)
def test_wrong_options_are_input_errors(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build(**{"architecture": "timm:test_vit", **options})


def test_drop_path_leaves_branches_out_in_training_only() -> None:
    torch.manual_seed(0)
    backbone = build("timm:test_vit", input_size=(64, 32), structure={"drop_path": 0.9}).backbone
    images = torch.randn(1, 3, 64, 32)
    assert len({backbone(images).sum().item() for _ in range(6)}) > 1
    backbone.eval()
    assert torch.equal(backbone(images), backbone(images))
