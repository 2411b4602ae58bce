"""Pictures to vectors: one embedder over PyTorch, ONNX Runtime and OpenVINO."""

from passerby.runtime.embedder import Embedded, Embedder
from passerby.runtime.pictures import Picture, read_image, resize

__all__ = ["Embedded", "Embedder", "Picture", "read_image", "resize"]
