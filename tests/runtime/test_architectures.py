"""Every kind of network is saved, loaded, embedded and exported with the same vectors."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from passerby.models import ModelCard, build, load, preprocessing, save
from passerby.runtime import Embedder
from passerby.runtime.export import export

NETWORKS = {
    "stem": ("slim18", {"stem_relu": False, "stem_pool": "ceil"}),
    "agw": ("slim18", {"non_local": "agw"}),
    "non-local": ("slim18", {"non_local": "default"}),
    "fpb": ("fpb:slim18", {"branch_width": 16, "non_local": "default"}),
    "fpb-dwsep": ("fpb:slim18", {"branch_width": 16, "convolution": "dwsep"}),
    "fpb-original": ("fpb-original:slim18", {}),
    "pyramid": ("pyramid:slim18", {"width": 8, "stripes": 3, "levels": "101"}),
    "pyramid-uneven": ("pyramid:slim18", {"width": 8, "stripes": 4}),
    "parts": ("parts:slim18", {"stripes": 3, "width": 8}),
    "mgn": ("mgn:slim18", {"width": 8, "reduction": "leaky"}),
    "transreid": ("transreid:deit_small", {"depth": 2, "stride": 12, "cameras": 3}),
    "clip-reid": ("clip-reid", {"depth": 1}),
    "clip-resnet": ("clip-reid:clip_resnet50", {}),
    "solider": ("solider_tiny", {}),
    "vit": ("timm:test_vit", {}),
    "vit-parts": ("parts:timm:test_vit", {"tokens": "map", "stripes": 2, "width": 8}),
    "convnext": ("timm:test_convnext", {}),
    "swin": ("timm:swin_tiny_patch4_window7_224", {}),
}
# no Swin is tiny, CLIP has no small network, and these two have many heads
SLOW = {"swin", "solider", "clip-resnet", "fpb-original", "mgn"}
KINDS = [pytest.param(k, marks=[pytest.mark.slow] if k in SLOW else []) for k in NETWORKS]
SIZE = (96, 64)


def trained_looking(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    for name, parameter in network.named_parameters():
        if name.endswith("gamma"):  # of attention: at zero there would be nothing to compare
            nn.init.constant_(parameter, 0.5)


@pytest.mark.parametrize("kind", KINDS)
def test_saved_embedded_and_exported(kind: str, tmp_path: Path, pictures: list[np.ndarray]) -> None:
    architecture, structure = NETWORKS[kind]
    if "timm" in architecture:
        pytest.importorskip("timm")
    torch.manual_seed(0)
    size = (64, 32) if kind == "swin" else SIZE
    pooling = "gem" if kind == "agw" else "average"
    network = build(
        architecture, structure=structure, pooling=pooling, input_size=size, num_classes=3
    )
    trained_looking(network)
    usual = preprocessing(architecture)
    card = ModelCard(
        architecture=architecture,
        dimension=network.dimension,
        input_size=size,
        mean=usual.mean,
        std=usual.std,
        interpolation=usual.interpolation,
        pooling=pooling,
        structure=structure,
    )
    path = tmp_path / "model.safetensors"
    save(network, card, path, classifier=True)
    loaded, read = load(path)
    images = torch.randn(2, 3, *size)
    assert read == card
    with torch.no_grad():
        assert torch.equal(network.eval()(images), loaded(images))
    save(network, card, path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        export(path, tmp_path / "model.onnx")
        vectors = {
            runtime: Embedder.load(file, runtime=runtime).embed(pictures[:4])
            for runtime, file in (
                ("torch", path),
                ("openvino", path),
                ("onnx", tmp_path / "model.onnx"),
            )
        }
    assert vectors["torch"].shape == (4, network.dimension)
    for runtime, got in vectors.items():
        assert np.abs(got - vectors["torch"]).max() < 1e-4, runtime
