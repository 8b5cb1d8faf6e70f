"""Quantised networks to files."""

from __future__ import annotations

import os

from dynamap_models._onnx_file import write_model
from dynamap_models.quantised import QuantisedNetwork

__all__ = ["write_quantised_onnx"]


def write_quantised_onnx(network: QuantisedNetwork, path: str | os.PathLike[str]) -> None:
    """Write a quantised network to an ONNX file, which appears complete or not at all.

    It is the network's model; :func:`~dynamap_models.quantisation.import_quantised_onnx` reads an equal network back.

    Raises:
        ModelError: when the file cannot be written, or would be larger than the 2 GiB one ONNX file can hold.
    """
    write_model(network.model, path)
