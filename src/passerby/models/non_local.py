"""Non-local blocks: every position of a map looks at every other.

Wang et al., Non-local Neural Networks, CVPR 2018, in the two forms that re-ID uses: softmax
attention, and the plain dot product divided by the number of positions of AGW (Ye et al., Deep
Learning for Person Re-identification: A Survey and Outlook, TPAMI 2021).
"""

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

Similarity = Literal["softmax", "dot"]


class NonLocal(nn.Module):
    """``z_i = x_i + W(1/C sum_j f(x_i, x_j) g(x_j))``, (B, D, H, W) -> (B, D, H, W).

    ``softmax``: f = exp(theta_i . phi_j) and C the sum over j (no scaling). ``dot``: f = theta_i .
    phi_j and C the number of positions j. W is a 1x1 convolution and a batch normalisation whose
    scale and shift start at zero, so that the block starts as the identity.
    """

    def __init__(
        self,
        channels: int,
        *,
        inner: int | None = None,
        similarity: Similarity = "softmax",
        subsample: int = 1,
    ) -> None:
        """Build with PyTorch's own initialisation of convolutions.

        Args:
            channels: D.
            inner: Channels of theta, phi and g; None: half of D, as first published. AGW has 1.
            similarity: ``"softmax"`` or ``"dot"``.
            subsample: Side of the max-pooling before phi and g; 2 leaves a quarter of the j.
        """
        super().__init__()
        inner = channels // 2 if inner is None else inner
        self.theta = nn.Conv2d(channels, inner, 1)
        self.phi = nn.Conv2d(channels, inner, 1)
        self.g = nn.Conv2d(channels, inner, 1)
        norm = nn.BatchNorm2d(channels)
        nn.init.zeros_(norm.weight)
        self.W = nn.Sequential(nn.Conv2d(inner, channels, 1), norm)
        self.similarity: Similarity = similarity
        self.subsample = subsample

    def forward(self, features: Tensor) -> Tensor:
        """Attend and add."""
        theta, phi, g = self.theta(features), self.phi(features), self.g(features)
        if self.subsample > 1:
            phi = F.max_pool2d(phi, self.subsample, ceil_mode=True)
            g = F.max_pool2d(g, self.subsample, ceil_mode=True)
        theta, phi, g = _rows(theta), _rows(phi), _rows(g)
        if self.similarity == "dot":
            # (theta phi^T) g = theta (phi^T g): linear in the number of positions
            mixed = theta @ (phi.transpose(1, 2) @ g) / phi.shape[1]
        else:
            # four axes, for PyTorch's kernels that never hold all weights at once want them
            mixed = F.scaled_dot_product_attention(
                theta[:, None], phi[:, None], g[:, None], scale=1.0
            )[:, 0]
        height, width = features.shape[2:]
        mixed = mixed.transpose(1, 2).unflatten(2, (height, width))
        return features + self.W(mixed)


def _rows(features: Tensor) -> Tensor:
    """(B, R, H, W) -> (B, H W, R)."""
    return features.flatten(2).transpose(1, 2).contiguous()
