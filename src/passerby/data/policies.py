"""AutoAugment's ImageNet policies (Cubuk et al., 2019) on a fraction of a batch."""

import torch
from torch import Tensor


def auto_augment(images: Tensor, generator: torch.Generator, *, probability: float) -> Tensor:
    """Apply a random ImageNet policy to each uint8 image (B, 3, H, W) with ``probability``.

    At the published probability of 0.1 only a few images of a batch take part; they are worked on
    one by one, as each has a policy of its own. torchvision draws from torch's global generator,
    which is seeded from ``generator`` for the call and restored behind it.
    """
    from torchvision.transforms.v2 import AutoAugment

    device = generator.device
    chosen = torch.rand(len(images), generator=generator, device=device) < probability
    seed = int(torch.randint(2**62, (1,), generator=generator, device=device))
    rows = chosen.nonzero().flatten().tolist()
    if not rows:
        return images
    policy = AutoAugment()
    images = images.clone()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for row in rows:
            images[row] = policy(images[row])
    return images
