"""Position and channel attention (PC) of the supervised feature pyramid branch.

Zhang et al., FPB: Feature Pyramid Branch for Person Re-Identification, arXiv 2108.01901, after
Fu et al., Dual Attention Network, CVPR 2019. Both start as the identity: their scales are zero.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

DROPOUT = 0.2


class PositionAttention(nn.Module):
    """``x + BN(gamma softmax(Q K^T) V)`` over positions, (B, D, H, W) -> (B, D, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, channels // 8, 1)
        self.key = nn.Conv2d(channels, channels // 8, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, features: Tensor) -> Tensor:
        """Attend and add; in training a fifth of the attention and of the result is dropped."""
        parts = (self.query(features), self.key(features), self.value(features))
        query, key, value = (part.flatten(2).transpose(1, 2) for part in parts)
        dropout = DROPOUT if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout, scale=1.0)
        # contiguous: the gradient of BatchNorm2d in evaluation is wrong (PyTorch 2.15, CPU) for
        # one picture whose batch stride is not that of its layout
        mixed = mixed.transpose(1, 2).unflatten(2, features.shape[2:]).contiguous()
        return features + F.dropout(self.norm(self.gamma * mixed), dropout, self.training)


class ChannelAttention(nn.Module):
    """``x + BN(gamma softmax(max - X X^T) X)`` over channels, (B, D, H, W) -> (B, D, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1))
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, features: Tensor) -> Tensor:
        """Attend and add; channels look at those least like them."""
        rows = features.flatten(2)
        # softmax(max - e) is softmax(-e), for it does not see what is added to all; the sign stands
        # at the rows, for OpenVINO (2026.4) takes a negated product for one that is not
        mixed = F.softmax((-rows) @ rows.transpose(1, 2), dim=2) @ rows
        return features + self.norm(self.gamma * mixed.view_as(features))


class PcAttention(nn.Sequential):
    """Position attention, then channel attention."""

    def __init__(self, channels: int) -> None:
        super().__init__(PositionAttention(channels), ChannelAttention(channels))
