"""Write the package's network as a start for train.py, so that a training can go on from it.

    PYTHONPATH=../.. python unpack.py DATA BASE --out FOLDER/start

DATA and BASE are those of train.py, whose other options are taken as well.
"""

import json
import lzma
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from tokenizers import Tokenizer
from torch import Tensor
from train import Trainer, parse_options

from callpipeline.engines.encoder import network as product

QUANTIZED, SCALE = "_quantized", "_scale"
ORIGINAL = re.compile(r"\.parametrizations\.weight\.original$")


def write_tokenizer(whole: Path, out: Path) -> None:
    """Write the base's tokenizer with the words of the package only."""
    words = product.VOCABULARY.read_text(encoding="utf-8").splitlines()
    ids = {word: at for at, word in enumerate(words)}
    spec = json.loads(whole.read_text(encoding="utf-8"))
    spec["model"]["vocab"] = ids
    spec["post_processor"] = spec["truncation"] = spec["padding"] = None
    known = [t for t in spec["added_tokens"] if t["content"] in ids]
    spec["added_tokens"] = [t | {"id": ids[t["content"]]} for t in known]
    Tokenizer.from_str(json.dumps(spec)).save(str(out))


def packed_weights(network: onnx.ModelProto) -> Iterator[tuple[str, Tensor]]:
    """Yield the weights under the names that they have in train.py."""
    held = {i.name: numpy_helper.to_array(i) for i in network.graph.initializer}
    for name, value in held.items():
        if name.startswith("model.") and not name.endswith((QUANTIZED, SCALE, "_zero_point")):
            yield name.removeprefix("model."), torch.tensor(value)
    for node in network.graph.node:
        for name in (i for i in node.input if i.endswith(QUANTIZED) and i in held):
            stem = name.removesuffix(QUANTIZED)
            value = held[name].astype(np.float32) - held[f"{stem}_zero_point"]
            yield _module(stem, node.name), torch.tensor(_scaled(value, held[stem + SCALE], node))


def _scaled(value: np.ndarray, scale: np.ndarray, node: onnx.NodeProto) -> np.ndarray:
    """Return rows of float weights; networks multiply by the transpose of a layer's weights."""
    scaled = (value * scale).astype(np.float32)
    return scaled if node.op_type == "Gather" else scaled.T.copy()


def _module(stem: str, node: str) -> str:
    """Return a weight's name by its own name, or by the path of the node that multiplies by it."""
    if stem.startswith("model."):
        return stem.removeprefix("model.").replace("_Transposed", "")
    path = node.removeprefix("/model/").split("/")[:-1]
    return ".".join([*path, "weight"])


def main(arguments: Sequence[str]) -> None:
    options = parse_options(arguments)
    tokenizer = options.out.with_suffix(".json")
    write_tokenizer(options.base / "tokenizer.json", tokenizer)
    network = onnx.load_from_string(lzma.decompress(product.NETWORK.read_bytes()))
    weights = dict(packed_weights(network))
    trainer = Trainer(parse_options([*arguments, "--vocabulary-of", str(tokenizer)]))
    state = trainer.model.state_dict()
    for name, value in state.items():
        packed = weights.pop(ORIGINAL.sub(".weight", name))
        value[: len(packed)] = packed  # of the positions, only those of inputs are in the package
    assert not weights, sorted(weights)
    torch.save(state, options.out.with_suffix(".pt"))
    trainer.model.load_state_dict(state)
    print(trainer.scores())


if __name__ == "__main__":
    main(sys.argv[1:])
