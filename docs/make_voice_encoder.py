"""Make the voice encoder, an ONNX file in callpipeline/engines/diarize, from published weights.

The weights are those of the package Resemblyzer 0.1.4 (Apache-2.0), three LSTM layers and a linear
one that were trained to distinguish speakers. They are read from its wheel; nothing of the package
is imported, and torch isn't needed. `onnx` is needed only here, so it is no dependency:

    pip download --no-deps Resemblyzer==0.1.4
    pip install onnx
    python docs/make_voice_encoder.py Resemblyzer-0.1.4-py3-none-any.whl
"""

import hashlib
import io
import pickle
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx  # pyright: ignore[reportMissingImports]
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper  # pyright: ignore[reportMissingImports]

WHEEL_SHA256 = "8f12eb2f1a9982d32e8db7856de754709b59c93a77bcf0ff536584b619a9dd1f"
WEIGHTS = "resemblyzer/pretrained.pt"
ENCODER = Path(__file__).parent.parent / "callpipeline" / "engines" / "diarize" / "encoder.onnx"

LAYERS = 3
MEL_BANDS = 40
HIDDEN = 256
OPSET = 17
IR_VERSION = 8
STORAGE_TYPES = {"FloatStorage": "<f4", "DoubleStorage": "<f8", "LongStorage": "<i8"}

MAX_ERROR = 0.002
"""Of weights of 16 bits."""

Weights = dict[str, NDArray[np.float32]]


class _Tensor(NamedTuple):
    storage: str
    offset: int
    shape: tuple[int, ...]


class _WeightsUnpickler(pickle.Unpickler):
    """Reads the pickle of a weights file; any class but those of tensors is refused."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.types: dict[str, str] = {}
        """The type of the numbers of each storage."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if (module_name, global_name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module_name, global_name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, *_: _Tensor(storage, offset, shape)
        if global_name in STORAGE_TYPES:
            return STORAGE_TYPES[global_name]
        raise pickle.UnpicklingError(f"{module_name}.{global_name} is no part of a tensor")

    def persistent_load(self, pid: Any, /) -> str:
        _, number_type, key, *_ = pid
        self.types[key] = number_type
        return key


def read_weights(wheel: Path) -> Weights:
    """Return the tensors of the model by name. Raises SystemExit for another file."""
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != WHEEL_SHA256:
        raise SystemExit(f"{wheel} is not the published wheel of Resemblyzer 0.1.4.")
    with zipfile.ZipFile(wheel) as archive:
        file = io.BytesIO(archive.read(WEIGHTS))
    for _ in ("magic number", "version of the format", "sizes of types"):
        pickle.load(file)
    unpickler = _WeightsUnpickler(file)
    tensors: dict[str, _Tensor] = unpickler.load()["model_state"]
    storages: dict[str, NDArray[np.float32]] = {}
    for key in pickle.load(file):  # the raw numbers follow in this order, each with their count
        numbers = np.dtype(unpickler.types[key])
        count = int.from_bytes(file.read(8), "little")
        storages[key] = np.frombuffer(file.read(numbers.itemsize * count), numbers)
    return {name: _values(tensor, storages[tensor.storage]) for name, tensor in tensors.items()}


def _values(tensor: _Tensor, numbers: NDArray[np.float32]) -> NDArray[np.float32]:
    return numbers[tensor.offset :][: int(np.prod(tensor.shape))].reshape(tensor.shape)


def encoder_model(weights: Weights) -> Any:
    """Return the model: mel spectrograms of windows in, embeddings of length 1 out.

    `mels` has the shape (windows, frames, bands), `embeddings` (windows, 256). Weights are stored
    as 16-bit floats, and cast to 32 bits when the model is loaded.
    """
    nodes: list[Any] = [helper.make_node("Transpose", ["mels"], ["steps_0"], perm=[1, 0, 2])]
    constants: list[Any] = [numpy_helper.from_array(np.array([1]), "direction_axis")]

    def constant(name: str, values: NDArray[np.float32]) -> str:
        constants.append(numpy_helper.from_array(values.astype(np.float16), f"{name}_half"))
        nodes.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
        return name

    for layer in range(LAYERS):
        inputs = [constant(f"{n}_{layer}", v) for n, v in _lstm_inputs(weights, layer).items()]
        outputs = [f"states_{layer}", f"last_{layer}"]
        nodes += [
            helper.make_node("LSTM", [f"steps_{layer}", *inputs], outputs, hidden_size=HIDDEN),
            helper.make_node("Squeeze", [outputs[0], "direction_axis"], [f"steps_{layer + 1}"]),
        ]
    constants.append(numpy_helper.from_array(np.array([0]), "first_axis"))
    projection = [
        "last",
        constant("V", weights["linear.weight"]),
        constant("v", weights["linear.bias"]),
    ]
    nodes += [
        helper.make_node("Squeeze", [f"last_{LAYERS - 1}", "first_axis"], ["last"]),
        helper.make_node("Gemm", projection, ["projected"], transB=1),
        helper.make_node("Relu", ["projected"], ["positive"]),
        helper.make_node("LpNormalization", ["positive"], ["embeddings"], axis=1, p=2),
    ]
    mels = helper.make_tensor_value_info(
        "mels", TensorProto.FLOAT, ["windows", "frames", MEL_BANDS]
    )
    embeddings = helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["windows", HIDDEN])
    graph = helper.make_graph(nodes, "voice_encoder", [mels], [embeddings], constants)
    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)


def _lstm_inputs(weights: Weights, layer: int) -> dict[str, NDArray[np.float32]]:
    """Return W, R and B of ONNX, which orders the gates i, o, f, c (torch: i, f, c, o)."""

    def gates(name: str) -> NDArray[np.float32]:
        i, f, c, o = np.split(weights[f"lstm.{name}_l{layer}"], 4)
        return np.concatenate((i, o, f, c))

    bias = np.concatenate((gates("bias_ih"), gates("bias_hh")))
    return {"W": gates("weight_ih")[None], "R": gates("weight_hh")[None], "B": bias[None]}


def reference_embeddings(weights: Weights, mels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute the embeddings with numpy, by the equations of torch's LSTM."""

    def sigmoid(x: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.divide(1, 1 + np.exp(-x), dtype=np.float32)

    steps = mels.transpose(1, 0, 2)
    for layer in range(LAYERS):
        w, r = weights[f"lstm.weight_ih_l{layer}"], weights[f"lstm.weight_hh_l{layer}"]
        bias = weights[f"lstm.bias_ih_l{layer}"] + weights[f"lstm.bias_hh_l{layer}"]
        state = cell = np.zeros((len(mels), HIDDEN), np.float32)
        states: list[NDArray[np.float32]] = []
        for step in steps:
            i, f, g, o = np.split(step @ w.T + state @ r.T + bias, 4, axis=1)
            cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
            state = sigmoid(o) * np.tanh(cell)
            states.append(state)
        steps = np.stack(states)
    projected = np.maximum(0, steps[-1] @ weights["linear.weight"].T + weights["linear.bias"])
    lengths = np.linalg.norm(projected, axis=1, keepdims=True)
    return (projected / lengths).astype(np.float32)


def main(wheel: Path) -> None:
    """Write the encoder and compare it with numpy's result.

    Raises SystemExit if `wheel` is another file, or the results differ.
    """
    weights = read_weights(wheel)
    model = encoder_model(weights)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, ENCODER)
    print(f"{ENCODER.name}: {ENCODER.stat().st_size:,} bytes")
    mels = np.random.default_rng(0).random((2, 160, MEL_BANDS), np.float32) / np.float32(10)
    session = onnxruntime.InferenceSession(ENCODER, providers=["CPUExecutionProvider"])
    expected = reference_embeddings(weights, mels)
    print("embedding:", [f"{value:.3f}" for value in expected[0, ::16]])
    if np.abs(np.asarray(session.run(None, {"mels": mels})[0]) - expected).max() > MAX_ERROR:
        raise SystemExit("The encoder's output differs from that of the weights.")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
