"""The choice between two losses in training, by how fast each falls.

Zheng et al., Pyramidal Person Re-IDentification via Multi-Loss Dynamic Training, CVPR 2019,
section 3.3.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn

Mode = Literal["official", "paper", "static"]


def focal_weight(probability: Tensor | float, *, gamma: float = 2.0) -> Tensor:
    """Compute FL(p) = -(1 - p)^gamma ln p, elementwise; 0 at p = 1.

    Args:
        probability: In (0, 1]: the ratio of a loss's moving average to the one before; 1 where
            it has not fallen.
        gamma: Focusing power.
    """
    p = torch.as_tensor(probability)
    p = p if p.is_floating_point() else p.double()
    return -((1 - p) ** gamma) * p.log()


class DynamicBalance(nn.Module):
    """The decision whether the triplet loss takes part, from moving averages of both losses.

    For each loss n it keeps the average k_n = alpha L_n + (1 - alpha) k_n', the probability
    p_n = min(k_n, k_n') / k_n' (1 when the average does not fall) and the focal weight
    FL_n = -(1 - p_n)^gamma ln p_n. The triplet loss takes part when FL_tri / FL_id is at least
    delta.

    ``official`` does exactly what the authors' code does: averages start at 0, the first p is one
    half, and a ratio of 0 / 0 counts as "both". Both losses train until the averages have risen.
    Where only the identity loss does not fall, it trains alone. ``paper`` starts averages at the
    first losses, takes 0 / 0 as identity loss alone and x / 0 as both. Training starts with the
    identity loss, as the paper says. ``static`` always takes both.

    All state is in buffers, so that a resumed run decides as an uninterrupted one.
    """

    averages: Tensor
    weights: Tensor
    started: Tensor
    both: Tensor

    def __init__(
        self,
        mode: Mode = "official",
        *,
        alpha: float = 0.25,
        gamma: float = 2.0,
        delta: float = 0.16,
    ) -> None:
        """Start before the first step.

        Args:
            mode: See the class.
            alpha: Share of the newest loss in the moving average.
            gamma: Focusing power.
            delta: Smallest ratio of the focal weights at which the triplet loss takes part.
        """
        super().__init__()
        self.mode: Mode = mode
        self.alpha = alpha
        self.gamma = gamma
        self.delta = delta
        # of (identity, triplet), in double: the weights are differences of nearly equal numbers
        self.register_buffer("averages", torch.zeros(2, dtype=torch.float64))
        self.register_buffer("weights", torch.zeros(2, dtype=torch.float64))
        self.register_buffer("started", torch.tensor(False))
        self.register_buffer("both", torch.tensor(mode != "paper"))

    @torch.no_grad()
    def update(self, identity: Tensor, triplet: Tensor) -> bool:
        """Update with the losses of a step; return whether both take part in the next one."""
        new = torch.stack([identity, triplet]).detach().double()
        if not self.started and self.mode == "paper":
            self.averages.copy_(new)
        before = self.averages.clone()
        self.averages.mul_(1 - self.alpha).add_(new, alpha=self.alpha)
        fallen = torch.minimum(self.averages, before) / before
        probability = torch.where(before > 0, fallen, 0.5 if not self.started else 1.0)
        self.weights.copy_(focal_weight(probability, gamma=self.gamma))
        self.started.fill_(True)
        self.both.fill_(self.mode == "static" or self._decide(*self.weights.tolist()))
        return bool(self.both)

    def _decide(self, identity: float, triplet: float) -> bool:
        if identity > 0:
            return triplet / identity >= self.delta
        # the code's weight is -0.0: its ratio is minus infinity, or NaN, which is not below delta
        return triplet == 0 if self.mode == "official" else triplet > 0

    def shares(self) -> tuple[float, float]:
        """Compute weights of identity and triplet loss where both take part, in ``paper`` mode.

        These are the focal weights scaled to a sum of one. The focal weights themselves are 1e-5 to
        1e-2, and steps with them would be too small. The shares are equal where neither loss falls.
        """
        identity, triplet = self.weights.tolist()
        total = identity + triplet
        if total == 0 or not math.isfinite(total):
            return 0.5, 0.5
        return identity / total, triplet / total
