"""Pictures to vectors: one embedder over PyTorch, ONNX Runtime and OpenVINO."""

from passerby.runtime.embedder import EmbeddedBatch, Embedder
from passerby.runtime.pictures import Picture, read_image, resize

__all__ = ["EmbeddedBatch", "Embedder", "Picture", "read_image", "resize"]
