"""One picture, one vector: whatever the source, the batch, the order and the runtime."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from passerby.errors import InputError
from passerby.models import ModelCard, load, read_card, save
from passerby.runtime import Embedder
from passerby.runtime.openvino_models import convert_torch, import_openvino
from passerby.runtime.torch_backend import Normalised

RUNTIMES = ("torch", "onnx", "openvino")
RETAIL = "person-reidentification-retail-0288"


@pytest.fixture(scope="session")
def embedder(weights: Path) -> Callable[[str], Embedder]:
    made = {runtime: Embedder.load(weights, runtime=runtime) for runtime in RUNTIMES}
    return made.__getitem__


@pytest.fixture(scope="session")
def converted(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network as OpenVINO files, net.xml and net.bin."""
    path = tmp_path_factory.mktemp("converted") / "net.xml"
    network, card = load(weights)
    model = convert_torch(Normalised(network, card), card)
    import_openvino().save_model(model, path, compress_to_fp16=False)
    return path


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_vectors_are_the_networks_features_normalised(
    runtime: str, weights: Path, embedder: Callable[[str], Embedder], pictures: list[np.ndarray]
) -> None:
    """Against the definition: resize, scale, mean, std, network, L2, one picture at a time."""
    import torch

    network, card = load(weights)
    got = embedder(runtime).embed(pictures)
    for picture, vector in zip(pictures, got, strict=True):
        image = Image.fromarray(picture).resize((64, 128), Image.Resampling.BILINEAR)
        values = np.asarray(image, dtype=np.float64) / 255
        values = (values - np.array(card.mean)) / np.array(card.std)
        batch = torch.from_numpy(values.astype(np.float32).transpose(2, 0, 1)[None])
        with torch.inference_mode():
            feature = network(batch)[0].numpy()
        assert np.allclose(vector, feature / np.linalg.norm(feature), atol=2e-6)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_batch_size_and_order_change_nothing(
    runtime: str, embedder: Callable[[str], Embedder], pictures: list[np.ndarray]
) -> None:
    one = embedder(runtime)
    expected = one.embed(pictures)
    assert expected.shape == (10, one.dimension)
    assert expected.dtype == np.float32
    assert np.allclose(np.linalg.norm(expected, axis=1), 1, atol=1e-6)
    for batch_size in (1, 3, 10):
        assert np.abs(one.embed(pictures, batch_size=batch_size) - expected).max() <= 1e-6
    order = np.random.default_rng(0).permutation(10)
    shuffled = one.embed([pictures[i] for i in order], batch_size=4)
    assert np.abs(shuffled - expected[order]).max() <= 1e-6


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_path_image_bytes_and_array_give_equal_bits(
    runtime: str, embedder: Callable[[str], Embedder], pictures: list[np.ndarray], tmp_path: Path
) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(pictures[3]).save(path)
    image = Image.open(path)
    sources = [path, str(path), path.read_bytes(), image, np.asarray(image.convert("RGB"))]
    one = embedder(runtime)
    rows = np.concatenate([one.embed([source]) for source in sources])
    assert (rows == rows[0]).all()
    assert np.array_equal(one.embed(str(path)), rows[:1])  # a lone picture needs no list


def test_runtimes_agree_and_share_the_model_id(
    embedder: Callable[[str], Embedder], pictures: list[np.ndarray]
) -> None:
    made = [embedder(runtime) for runtime in RUNTIMES]
    assert len({one.model_id for one in made}) == 1
    vectors = [one.embed(pictures) for one in made]
    assert all(np.abs(vectors[0] - other).max() < 1e-5 for other in vectors)
    assert [repr(one).split(", ")[1] for one in made] == [f"{name} fp32" for name in RUNTIMES]


def test_no_pictures_and_bad_pictures(
    embedder: Callable[[str], Embedder], pictures: list[np.ndarray], tmp_path: Path
) -> None:
    one = embedder("torch")
    assert one.embed([]).shape == (0, one.dimension)
    bad = tmp_path / "bad.jpg"
    bad.write_text("no")
    with pytest.raises(InputError, match=r"bad\.jpg"):
        one.embed([pictures[0], bad])
    with pytest.raises(InputError, match="batch"):
        one.embed(pictures, batch_size=0)


def test_stream_names_bad_pictures_and_goes_on(
    embedder: Callable[[str], Embedder], pictures: list[np.ndarray], tmp_path: Path
) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_text("no")
    parts = list(embedder("torch").stream([bad, *pictures, bad], batch_size=4))
    assert [len(part.indices) + len(part.problems) for part in parts] == [4, 4, 4]
    assert np.concatenate([part.indices for part in parts]).tolist() == list(range(1, 11))
    assert [index for part in parts for index in part.problems] == [0, 11]


def test_model_id_follows_what_decides_the_vectors(weights: Path, tmp_path: Path) -> None:
    network, card = load(weights)
    before = Embedder.load(weights, runtime="torch").model_id
    noted, turned = tmp_path / "noted.safetensors", tmp_path / "turned.safetensors"
    save(network, replace(card, notes="new words", calibration={"a": 1.0}), noted)
    save(network, replace(card, colour_order="BGR"), turned)
    assert Embedder.load(noted, runtime="torch").model_id == before
    assert Embedder.load(turned, runtime="torch").model_id != before


def test_colour_order_and_range_of_the_card(
    weights: Path, tmp_path: Path, pictures: list[np.ndarray]
) -> None:
    """A BGR 0..255 card fed with a swapped picture equals the RGB 0..1 card on the plain one."""
    network, card = load(weights)
    path = tmp_path / "bgr.safetensors"
    mean, std = ([255.0 * v for v in values] for values in (card.mean, card.std))
    other = replace(card, colour_order="BGR", value_range=255.0, mean=tuple(mean), std=tuple(std))
    save(network, other, path)
    expected = Embedder.load(weights, runtime="torch").embed(pictures)
    for runtime in RUNTIMES:
        got = Embedder.load(path, runtime=runtime).embed([p[..., ::-1] for p in pictures])
        assert np.abs(got - expected).max() < 1e-5


def test_openvino_file_with_a_sidecar_card(
    weights: Path, converted: Path, tmp_path: Path, pictures: list[np.ndarray]
) -> None:
    card = read_card(weights)
    shutil.copytree(converted.parent, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "net.xml"
    with pytest.raises(InputError, match=r"net\.xml\.card\.json"):
        Embedder.load(path)
    sidecar = tmp_path / "net.xml.card.json"
    sidecar.write_text(card.to_json())
    expected = Embedder.load(weights, runtime="torch").embed(pictures)
    assert np.abs(Embedder.load(path).embed(pictures) - expected).max() < 1e-5
    sidecar.write_text(json.dumps({"architecture": "x", "dimension": 3}))
    with pytest.raises(InputError, match="does not say input_size"):
        Embedder.load(path)


def test_bad_files_and_options(weights: Path, tmp_path: Path) -> None:
    other = tmp_path / "net.pth"
    other.write_bytes(b"x")
    (tmp_path / "broken.safetensors").write_bytes(b"x" * 100)
    (tmp_path / "broken.onnx").write_bytes(b"x" * 100)
    cases = [
        (tmp_path / "none.xml", {}, "does not exist"),
        (tmp_path, {}, "folder"),
        (other, {}, "no network file"),
        (tmp_path / "broken.safetensors", {}, "broken"),
        (tmp_path / "broken.onnx", {}, "broken"),
        (weights, {"runtime": "tpu"}, "no runtime 'tpu'"),
        (weights, {"precision": "fp8"}, "no precision 'fp8'"),
        (weights, {"runtime": "onnx", "precision": "bf16"}, "as it is"),
        (weights, {"device": "cuda:99", "runtime": "torch"}, "cuda:99"),
        (weights, {"device": "cuda", "runtime": "openvino"}, "CPU"),
    ]
    for path, options, message in cases:
        with pytest.raises(InputError, match=message):
            Embedder.load(path, **options)


def test_a_card_that_does_not_fit_the_network(
    weights: Path, converted: Path, tmp_path: Path
) -> None:
    shutil.copytree(converted.parent, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "net.xml"
    wrong = replace(read_card(weights), input_size=(256, 128))
    (tmp_path / "net.xml.card.json").write_text(wrong.to_json())
    with pytest.raises(InputError, match="its card says 3 x 256 x 128"):
        Embedder.load(path)
    (tmp_path / "net.bin").unlink()
    with pytest.raises(InputError, match=r"net\.bin"):
        Embedder.load(path)


@pytest.mark.real
def test_open_model_zoo_network_as_it_comes(real_models: Path, pictures: list[np.ndarray]) -> None:
    """Against OpenVINO called by hand: BGR, 0..255, NCHW, batch of one."""
    path = real_models / RETAIL / f"{RETAIL}.xml"
    one = Embedder.load(path)
    assert (one.dimension, one.card.colour_order) == (256, "BGR")
    got = one.embed(pictures, batch_size=3)
    core = import_openvino().Core()
    plain = core.compile_model(core.read_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for picture, vector in zip(pictures, got, strict=True):
        image = Image.fromarray(picture).resize((128, 256), Image.Resampling.BILINEAR)
        batch = np.asarray(image)[..., ::-1].transpose(2, 0, 1)[None].astype(np.float32)
        feature = plain(batch)[0][0]
        assert np.allclose(vector, feature / np.linalg.norm(feature), atol=5e-6)
    assert isinstance(one.card, ModelCard)
