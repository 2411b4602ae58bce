"""Export of a weights file to a file that needs no code: uint8 RGB in, unit vectors out.

The format is ONNX (.onnx) in fp32, or OpenVINO (.xml with its .bin) in fp32 or int8.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from passerby.data import CropTable
from passerby.errors import InputError
from passerby.files import put_in_place
from passerby.models import ModelCard, load
from passerby.models.identity import content_id, find_file
from passerby.runtime.files import read_network
from passerby.runtime.onnx_backend import convert_to_onnx
from passerby.runtime.openvino_models import convert_torch, write_openvino
from passerby.runtime.parity import Original, Parity, crops_or_samples
from passerby.runtime.pictures import Picture
from passerby.runtime.quantise import SCHEMES, Scheme, SchemeError, import_nncf, prepare, quantise
from passerby.runtime.torch_backend import TorchBackend, UnitVectors

SUFFIXES = (".onnx", ".xml")
PRECISIONS = ("fp32", "int8")
PARITY_CROPS = 64
CALIBRATION_CROPS = 300


@dataclass(frozen=True, kw_only=True)
class ExportReport:
    """The written file and its agreement with the original."""

    path: str
    model_id: str
    """Of the written network: the original's in fp32; a new one in int8, whose vectors differ."""
    precision: str
    scheme: str
    """The quantisation scheme, the first that was close enough; "" in fp32."""
    parity: Parity


def export(
    source: str | Path,
    out: str | Path,
    *,
    precision: str = "fp32",
    calibrate: Sequence[Picture] = (),
    pictures: Sequence[Picture] = (),
    labelled: CropTable | None = None,
) -> ExportReport:
    """Write a network with normalisation and L2 inside, for any batch size.

    The file contains the model card. In fp32 it also contains the model id, so that vectors of the
    file and of the original may be in one gallery. Both networks embed the same pictures; a file
    that differs is deleted.

    Args:
        source: A Passerby weights file, or "default".
        out: The .onnx or .xml file to write.
        precision: "fp32", or "int8" for OpenVINO.
        calibrate: Crops like those the network will see, for int8. 300 of them calibrate; without
            ``pictures``, others serve for the comparison.
        pictures: Crops for the comparison; without any, smooth random pictures.
        labelled: Queries and a gallery; rank-1 may change by at most half a point.

    Raises:
        InputError: No such file, no crops to calibrate on, or the written network differs.
    """
    path, out = find_file(source), Path(out)
    _check(path, out, precision, calibrate)
    network, card = load(path)
    calibration, comparison = split_crops(calibrate, pictures, card)
    original = Original(TorchBackend(network, card), card, comparison, labelled)
    job = _Job(path, out, network, card, calibration, original)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
            return job.run(Path(folder) / out.name, precision)
    except OSError as error:
        raise InputError(f"'{out}' cannot be written: {error.strerror}") from None


def split_crops(
    calibrate: Sequence[Picture], pictures: Sequence[Picture], card: ModelCard
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Read the crops for the calibration, and others for the comparison.

    Without ``pictures``, every sixth of ``calibrate`` is held back for the comparison.

    Returns:
        Two arrays (N, H, W, 3) uint8 RGB of the network's input size.
    """
    calibrate = _spread(calibrate, CALIBRATION_CROPS + PARITY_CROPS)
    pictures = _spread(pictures, PARITY_CROPS)
    if calibrate and not pictures:
        pictures = calibrate[::6]
        calibrate = [one for index, one in enumerate(calibrate) if index % 6]
    calibrate = calibrate[:CALIBRATION_CROPS]
    return crops_or_samples(calibrate, card), crops_or_samples(pictures, card)


@dataclass(frozen=True)
class _Job:
    """One export."""

    path: Path
    out: Path
    network: nn.Module
    card: ModelCard
    calibration: NDArray[np.uint8]
    original: Original

    def run(self, partial: Path, precision: str) -> ExportReport:
        """Write ``partial`` with one scheme after another until one agrees, then move it."""
        model_id = content_id(self.card, self.path)
        faults = []
        for scheme in SCHEMES if precision == "int8" else (None,):
            try:
                self._write(partial, model_id, scheme)
            except SchemeError as error:
                faults.append(str(error))
                continue
            written = read_network(partial, "cpu")
            parity = self.original.compare(written.backend(written.reference, "fp32"), precision)
            fault = parity.fault(precision)
            if not fault:
                break
            faults.append(fault + (f" with {scheme}" if scheme else ""))
        else:
            raise InputError(
                f"the exported network differs from '{self.path}' ({'; '.join(faults)}); nothing "
                "was written"
            )
        for suffix in (".bin", self.out.suffix):  # the weights first
            if partial.with_suffix(suffix).is_file():
                put_in_place(partial.with_suffix(suffix), self.out.with_suffix(suffix))
        return ExportReport(
            path=str(self.out),
            model_id=written.model_id,
            precision=precision,
            scheme=str(scheme or ""),
            parity=parity,
        )

    def _write(self, partial: Path, model_id: str, scheme: Scheme | None) -> None:
        """Write the network with its card."""
        if partial.suffix == ".onnx":
            partial.write_bytes(convert_to_onnx(self.network, self.card, model_id))
        elif scheme is None:
            write_openvino(self._converted(), partial, self.card, model_id)
        else:
            model = quantise(self._prepared, self.calibration, scheme)
            # the scores in the card are those of the original, so they are left out
            how = {"from": model_id, "crops": len(self.calibration), "scheme": str(scheme)}
            card = replace(self.card, scores={}, training={**self.card.training, "int8": how})
            write_openvino(model, partial, card, None)

    def _converted(self) -> Any:
        """Convert the network with normalisation and L2 to an OpenVINO model."""
        return convert_torch(UnitVectors(self.network, self.card), self.card)

    @cached_property
    def _prepared(self) -> Any:
        """The OpenVINO model that every scheme starts from."""
        return prepare(self._converted(), self.calibration)


def _check(path: Path, out: Path, precision: str, calibrate: Sequence[Picture]) -> None:
    if path.suffix != ".safetensors" or out.suffix not in SUFFIXES:
        raise InputError(
            f"export turns a .safetensors into an .onnx or an .xml, not '{path}' into '{out}'"
        )
    if precision not in PRECISIONS:
        raise InputError(f"there is no export at precision '{precision}'; choose fp32 or int8")
    if precision == "int8" and out.suffix != ".xml":
        raise InputError(f"int8 is written for OpenVINO: give an .xml file, not '{out}'")
    if precision == "int8" and len(calibrate) < 2:
        raise InputError("int8 needs crops to calibrate on; give a folder or a data set of them")
    if precision == "fp32" and calibrate:
        raise InputError("fp32 is not calibrated; choose the precision int8, or leave that out")
    if precision == "int8":
        import_nncf()  # a missing package is reported before minutes of work


def _spread(pictures: Sequence[Picture], count: int) -> list[Picture]:
    """Return at most ``count`` pictures, at even distances."""
    if len(pictures) <= count:
        return list(pictures)
    return [pictures[index * len(pictures) // count] for index in range(count)]
