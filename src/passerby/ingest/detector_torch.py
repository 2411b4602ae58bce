"""torchvision's own detectors, run by PyTorch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.models import get_model

from passerby.errors import InputError, one_line
from passerby.ingest.detector import Detections, Detector
from passerby.ingest.detector_networks import network_name

PERSON = 1  # of torchvision's 91 COCO classes
# torchvision builds these with an epsilon of 0 in their batch norms when it loads these weights
WITHOUT_EPSILON = ("fasterrcnn_resnet50_fpn", "retinanet_resnet50_fpn")


class TorchvisionDetector(Detector):
    """A detector of ``torchvision.models.detection`` with the weights of torchvision's enum.

    The network resizes and normalises the picture itself, and does the non-maximum suppression.
    """

    def __init__(self, path: Path, architecture: str) -> None:
        """Open a weights file.

        Args:
            path: The .pth file that torchvision publishes for the architecture.
            architecture: Name of a builder, such as "ssdlite320_mobilenet_v3_large".

        Raises:
            InputError: The file is not of this architecture.
        """
        self.name, self.architecture = network_name(path), architecture
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        network: Any = get_model(architecture, weights=None, weights_backbone=None)
        try:
            network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        except (RuntimeError, ValueError, OSError, EOFError, KeyError, TypeError) as error:
            raise InputError(f"'{path}' is not a {architecture}: {one_line(error)}") from None
        if architecture in WITHOUT_EPSILON:
            for module in network.modules():
                if isinstance(module, torch.nn.BatchNorm2d):
                    module.eps = 0.0
        self.network = network.eval().to(self.device)

    @torch.inference_mode()
    def detect(self, frames: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        """Find people; see :meth:`Detector.detect`."""
        found = []
        for frame in frames:  # one by one: a batch would be padded, which changes the boxes
            pixels = torch.from_numpy(np.ascontiguousarray(frame)).to(self.device)
            result = self.network([pixels.permute(2, 0, 1).float() / 255])[0]
            person = result["labels"] == PERSON
            boxes, scores = (result[key][person].cpu().numpy() for key in ("boxes", "scores"))
            found.append(Detections.of(boxes, scores, frame))
        return found

    def describe(self) -> dict[str, Any]:
        """Say what the network takes and gives."""
        return {
            "detector": self.name,
            "output": f"boxes, scores, labels ({self.architecture}, run by PyTorch)",
            "people": f"class {PERSON}",
            "input": "a picture of any size, RGB 0..1; the network resizes and normalises it",
            "overlap": "left to the network",
        }
