"""Models on disk, without pickle and without the class they were written with.

``save`` writes a pair: ``x.json``, the plan of the graph, and ``x.safetensors``, its weights.
``load`` rebuilds the model from the two alone. ``to_onnx`` writes the same model for other
runtimes, and ``check_onnx`` proves that it computes the same.
"""

from lithe.export.errors import ExportError
from lithe.export.leaves import register_module
from lithe.export.onnx_file import check_onnx, to_onnx
from lithe.export.pair import load, save

__all__ = ["ExportError", "check_onnx", "load", "register_module", "save", "to_onnx"]
