import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from passerby.data import Augment
from passerby.data.colour import ColourJitter, jitter
from passerby.data.policies import IMAGENET, apply, auto_augment, value
from passerby.data.samplers import torch_generator
from passerby.data.transforms import (
    IMAGENET_MEAN,
    Erasing,
    normalise,
    random_box,
    random_crop,
    random_erase,
    random_flip,
)

H, W = 32, 16


@pytest.fixture
def images(noise: Callable) -> Tensor:
    return torch.from_numpy(noise(64, 3, H, W))


def grey(images: Tensor) -> Tensor:
    """Luma (B, 1, H, W) by ITU-R BT.601."""
    weights = torch.tensor([0.299, 0.587, 0.114], dtype=images.dtype).view(1, 3, 1, 1)
    return (images * weights).sum(dim=1, keepdim=True)


def test_flip_mirrors_about_half(images: Tensor) -> None:
    flipped = random_flip(images, torch_generator(0))
    mirrored = [torch.equal(a, b.flip(-1)) for a, b in zip(flipped, images, strict=True)]
    kept = [torch.equal(a, b) for a, b in zip(flipped, images, strict=True)]
    assert all(a != b for a, b in zip(mirrored, kept, strict=True))
    assert 20 <= sum(mirrored) <= 44
    assert torch.equal(random_flip(images, torch_generator(0), probability=1.0), images.flip(-1))


def test_crop_is_a_window_of_the_padded_image(images: Tensor) -> None:
    cropped = random_crop(images, torch_generator(1), padding=3, fill=9)
    assert cropped.dtype == torch.uint8
    padded = torch.nn.functional.pad(images, (3, 3, 3, 3), value=9)
    places = set()
    for image, whole in zip(cropped, padded, strict=True):
        found = [
            (y, x)
            for y in range(7)
            for x in range(7)
            if torch.equal(image, whole[:, y : y + H, x : x + W])
        ]
        assert len(found) == 1
        places.add(found[0])
    assert len(places) > 30
    assert {y for y, _ in places} == {x for _, x in places} == set(range(7))


def erased_box(image: Tensor, fill: tuple[float, ...]) -> Tensor:
    return (image == torch.tensor(fill).view(3, 1, 1)).all(dim=0)


@pytest.mark.parametrize("fill", ["mean", "zero"])
def test_erasing_fills_one_rectangle(fill: str) -> None:
    images = torch.full((400, 3, 64, 32), 5.0)
    options = Erasing(fill=fill)
    erased = random_erase(images, torch_generator(2), options)
    values = IMAGENET_MEAN if fill == "mean" else (0.0, 0.0, 0.0)
    shares = []
    for image in erased:
        box = erased_box(image, values)
        assert ((image == 5.0).all(dim=0) | box).all()
        if box.any():
            rows, columns = box.any(1).nonzero().flatten(), box.any(0).nonzero().flatten()
            height, width = int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1
            assert int(box.sum()) == height * width  # a full rectangle
            shares.append(height * width / (64 * 32))
            assert 0.2 < height / width < 5
    assert 160 <= len(shares) <= 240
    assert 0.015 < min(shares) < 0.06
    assert 0.3 < max(shares) < 0.43


def test_erasing_tries_until_a_rectangle_fits() -> None:
    images = torch.ones(200, 3, 64, 8)  # narrow: many rectangles do not fit
    wide = Erasing(probability=1.0, fill="zero")
    assert (random_erase(images, torch_generator(3), wide) == 0).flatten(1).any(1).all()
    once = dataclasses.replace(wide, tries=1)
    missed = ~(random_erase(images, torch_generator(3), once) == 0).flatten(1).any(1)
    assert 20 < int(missed.sum()) < 180


def test_normalise() -> None:
    images = torch.rand(2, 3, 4, 4)
    got = normalise(images, (0.5, 0.25, 0.0), (0.5, 0.25, 2.0))
    assert torch.allclose(got[:, 1], (images[:, 1] - 0.25) / 0.25)
    assert torch.allclose(got[:, 2], images[:, 2] / 2)


PLAIN = Augment(flip=0, padding=0, erasing=None)


def test_plain_augment_is_normalisation(images: Tensor) -> None:
    assert torch.allclose(PLAIN(images, torch_generator(0)), normalise(images.float() / 255))
    card = dataclasses.replace(PLAIN, bgr=True, value_range=255.0, mean=(1, 2, 3), std=(1, 1, 2))
    got = card(images, torch_generator(0))
    assert torch.allclose(got[:, 0], images[:, 2] - 1.0, atol=1e-3)
    assert torch.allclose(got[:, 2], (images[:, 0] - 3.0) / 2, atol=1e-3)


def test_augmentation_is_a_function_of_its_generator(images: Tensor) -> None:
    colour = ColourJitter(
        balance=0.1, grey=0.2, coarse=0.2, coarsest=4, gamma=0.3, shade=0.3, noise=0.05
    )
    augment = Augment(box=0.05, colour=colour, auto_augment=0.2)
    before = images.clone()
    torch.manual_seed(1)
    first = augment(images, torch_generator(7, 1, 2))
    torch.manual_seed(2)
    state = torch.get_rng_state()
    again = augment(images, torch_generator(7, 1, 2))
    assert torch.equal(first, again)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(images, before)
    assert not torch.equal(first, augment(images, torch_generator(7, 1, 3)))
    assert first.shape == images.shape
    assert first.dtype == torch.float32


def test_colours_change_within_their_bounds() -> None:
    images = torch.full((300, 3, 2, 2), 0.5)
    off = ColourJitter(brightness=0, contrast=0, saturation=0, hue=0)
    generator = torch_generator(0)
    bright = jitter(images, generator, dataclasses.replace(off, brightness=0.2))
    assert 0.4 <= bright.min() < 0.42
    assert 0.58 < bright.max() <= 0.6
    assert torch.equal(jitter(images, generator, off), images)
    # a grey image stays grey however its saturation and hue change
    turned = jitter(images, generator, dataclasses.replace(off, saturation=0.9, hue=0.5))
    assert torch.allclose(turned, images, atol=1e-6)


def test_hue_turns_red_to_green_and_blue() -> None:
    red = torch.zeros(500, 3, 1, 1)
    red[:, 0] = 1.0
    off = ColourJitter(brightness=0, contrast=0, saturation=0, hue=0.5)
    turned = jitter(red, torch_generator(0), off)[:, :, 0, 0]
    assert {int(i) for i in turned.argmax(dim=1)} == {0, 1, 2}


def test_grey_and_coarse_images() -> None:
    images = torch.rand(100, 3, 8, 4)
    off = ColourJitter(brightness=0, contrast=0, saturation=0, hue=0, grey=0.5)
    got = jitter(images, torch_generator(0), off)
    is_grey = (got == got[:, :1]).flatten(1).all(1)
    assert 30 < int(is_grey.sum()) < 70
    assert torch.allclose(got[is_grey][:, :1], grey(images[is_grey]))
    soft = jitter(images, torch_generator(0), dataclasses.replace(off, grey=0, coarse=1.0))
    assert soft.std() < 0.8 * images.std()


OFF = ColourJitter(brightness=0, contrast=0, saturation=0, hue=0)


def test_coarse_images_have_several_resolutions() -> None:
    images = torch.rand(400, 3, 24, 24, generator=torch_generator(3))
    options = dataclasses.replace(OFF, coarse=1.0, coarsest=4)
    spreads = jitter(images, torch_generator(0), options).flatten(1).std(1)
    at = [float(_halved(images, factor).flatten(1).std(1).mean()) for factor in (2, 3, 4)]
    nearest = (spreads[:, None] - torch.tensor(at)).abs().argmin(1)
    assert all(90 < int((nearest == which).sum()) < 180 for which in range(3))


def _halved(images: Tensor, factor: int) -> Tensor:
    size = 24 // factor
    small = torch.nn.functional.interpolate(images, (size, size), mode="bilinear", antialias=True)
    return torch.nn.functional.interpolate(small, (24, 24), mode="bilinear")


def test_tone_and_noise_keep_their_bounds() -> None:
    images = torch.full((400, 3, 6, 6), 0.5)
    tones = jitter(images, torch_generator(0), dataclasses.replace(OFF, gamma=0.4))
    low, high = 0.5 ** np.exp(0.4), 0.5 ** np.exp(-0.4)
    assert low - 1e-6 <= tones.min() < low + 0.02
    assert high - 0.02 < tones.max() <= high + 1e-6
    noisy = jitter(images, torch_generator(0), dataclasses.replace(OFF, noise=0.1))
    deviations = noisy.flatten(1).std(1)
    assert 0.4 < (deviations == 0).float().mean() < 0.6
    assert 0.08 < deviations.max() < 0.12
    assert abs(noisy.mean() - 0.5) < 0.005


def test_shade_falls_off_evenly() -> None:
    images = torch.full((300, 3, 9, 5), 0.4)
    shaded = jitter(images, torch_generator(0), dataclasses.replace(OFF, shade=0.6))
    assert torch.allclose(shaded[:, :, 4, 2], images[:, :, 4, 2])  # the middle stays
    steps = shaded.diff(dim=2)
    assert torch.allclose(steps, steps[:, :, :1].expand_as(steps), atol=1e-6)
    ends = shaded[:, 0, -1, 2] - shaded[:, 0, 0, 2]
    assert 0.2 < ends.max() <= 0.24
    assert -0.24 <= ends.min() < -0.2


def test_boxes_are_off_on_every_side() -> None:
    ramp = torch.arange(40.0).view(1, 1, 40, 1).expand(2000, 3, 40, 20)
    ramp = torch.cat([ramp[:, :1], ramp[:, :1] * 0 + torch.arange(20.0), ramp[:, :1]], dim=1)
    spread = 0.05
    got = random_box(ramp, torch_generator(0), spread=spread)
    assert got.shape == ramp.shape
    # away from the border, the slope tells the size of the box, the middle its place
    down = (got[:, 0, 24, 10] - got[:, 0, 15, 10]) / 9
    across = (got[:, 1, 20, 14] - got[:, 1, 20, 5]) / 9
    for slope in (down, across):
        assert abs(float(slope.mean()) - (1 + spread)) < 0.01
        assert 0.055 < float(slope.std()) < 0.075  # two sides of 0.05 each, cut at twice that
    middle = (got[:, 0, 19, 10] + got[:, 0, 20, 10]) / 2 - 19.5
    assert abs(float(middle.mean())) < 0.1
    assert 1.1 < float(middle.std()) < 1.5  # 40 rows times 0.05 / sqrt(2)


def test_auto_augment_changes_its_share(images: Tensor) -> None:
    changed = auto_augment(images, torch_generator(0), probability=0.3)
    share = (changed != images).flatten(1).any(1).float().mean()
    assert 0.05 < share < 0.4
    assert auto_augment(images, torch_generator(0), probability=0.0) is images


def test_the_policies_are_those_of_torchvision(images: Tensor) -> None:
    from torchvision.transforms import AutoAugmentPolicy
    from torchvision.transforms.v2 import AutoAugment

    theirs = AutoAugment(AutoAugmentPolicy.IMAGENET)
    assert len(theirs._policies) == len(IMAGENET) == 25
    for policy, expected in zip(IMAGENET, theirs._policies, strict=True):
        for (name, probability, magnitude), (other, likely, place) in zip(
            policy, expected, strict=True
        ):
            assert (name, probability) == (other, likely)
            values, signed = theirs._AUGMENTATION_SPACE[name]
            bins = values(10, H, W)
            if bins is None:
                expect = [0.0]
            elif signed:
                assert value(name, place) == -value(name, place, negative=True)
                expect = [float(bins[place])]
            else:
                # torchvision's thresholds are fractions of white
                expect = [float(bins[place]) * (255 if name == "Solarize" else 1)]
            assert place is None or magnitude == place
            found = value(name, magnitude)
            assert found == pytest.approx(expect[0], abs=1e-5)
            amount = found / 255 if name == "Solarize" else found
            whole = apply(name, images[:4], found)
            for one, image in zip(whole, images, strict=False):
                single = theirs._apply_image_or_video_transform(
                    image, name, amount, interpolation=theirs.interpolation, fill=theirs._fill
                )
                assert torch.equal(one, single), name


def test_every_policy_is_drawn_equally_often() -> None:
    # at probability 1 the share of images that stay as they are is what the table says
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (500, 3, 32, 32)))
    changed = auto_augment(images.to(torch.uint8), torch_generator(0), probability=1.0)
    kept = (changed == images).flatten(1).all(1).float().mean()
    acts = [[0.0 if o[0] == "Color" and o[2] == 0 else o[1] for o in pair] for pair in IMAGENET]
    idle = [(1 - first) * (1 - second) for first, second in acts]
    assert abs(float(kept) - np.mean(idle)) < 0.05


def test_colour_changes_are_those_done_one_after_the_other() -> None:
    B, options = 6, ColourJitter(balance=0.2, hue=0.1, contrast=0.4, grey=0.5)
    images = torch.rand(B, 3, 5, 4, generator=torch_generator(1)) * 0.4 + 0.3
    generator = torch_generator(2)

    def drawn(count: int = 1) -> Tensor:
        return torch.rand(B, count, generator=generator).view(B, count, 1, 1)

    x = images * (1 + options.brightness * (2 * drawn() - 1))
    x = x * (1 + options.balance * (2 * drawn(3) - 1))
    amount = 1 + options.contrast * (2 * drawn() - 1)
    mean = grey(x).mean(dim=(2, 3), keepdim=True)
    x = mean + (x - mean) * amount
    amount = 1 + options.saturation * (2 * drawn() - 1)
    x = grey(x) + (x - grey(x)) * amount
    angles = 2 * torch.pi * options.hue * (2 * drawn().flatten() - 1)
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / 3**0.5
    for i, angle in enumerate(angles):
        x[i] = torch.einsum("ij,jhw->ihw", torch.linalg.matrix_exp(angle * cross), x[i])
    x = torch.where(drawn() < options.grey, grey(x).expand_as(x), x)
    found = jitter(images, torch_generator(2), options)
    torch.testing.assert_close(found, x.clamp(0, 1), rtol=1e-5, atol=1e-6)
