"""Pack a fine-tuned encoder as the files of callpipeline/engines/encoder/files.

    PYTHONPATH=../.. python pack.py DATA BASE --out FOLDER/judge

The options are those of `train.py`. The weights of 8 bits have few
different values, so that xz halves the network. The temperature and the threshold are chosen on
`dev.jsonl` and on variants of the frames that were not trained on.
"""

import json
import lzma
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from corpora import read_calls
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import Tensor, nn
from torch.nn.utils import parametrize
from train import LABELS, TargetEncoder, Trainer, context_of, describe, parse_options

from callpipeline.engines.encoder import network as product

HERE = Path(__file__).parent
CHOSEN_ON = ("dev.jsonl", "hard.jsonl")
UNCLEAR_BELOW = 0.45
FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 0, "lp": 0, "pb": 0}]
"""Without context, which weights don't have."""
POSITIONS = 160
"""More than the word pieces of an input; the rest of the position embeddings is left out."""


class Exported(nn.Module):
    """The network as the product runs it: one input, without padding."""

    def __init__(self, model: TargetEncoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, segments: Tensor) -> tuple[Tensor, Tensor]:
        return self.model(ids, torch.ones_like(ids), segments)


def export(trainer: Trainer, file: Path) -> None:
    """Write the network with weights of 8 bits, compressed."""
    model = trainer.model.eval()
    trainer.set_grids(tuned=True)
    for module in list(model.modules()):
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
    embeddings = model.base.embeddings
    words = embeddings.word_embeddings.weight.detach()[: trainer.options.shipped_words].clone()
    embeddings.word_embeddings = nn.Embedding.from_pretrained(words, padding_idx=0)
    positions = embeddings.position_embeddings.weight.detach()[:POSITIONS].clone()
    embeddings.position_embeddings = nn.Embedding.from_pretrained(positions)
    ids = torch.tensor([[1, 2, 3, trainer.marker_ids["[unused0]"], 5, 6]])
    with tempfile.TemporaryDirectory() as folder:
        whole, small = Path(folder, "whole.onnx"), Path(folder, "small.onnx")
        torch.onnx.export(
            Exported(model), (ids, torch.zeros_like(ids)), str(whole), dynamo=False,
            input_names=["ids", "segments"], output_names=["scores", "company"], opset_version=17,
            dynamic_axes={"ids": {1: "length"}, "segments": {1: "length"}},
        )  # fmt: skip
        quantize_dynamic(
            whole, small, per_channel=True, reduce_range=True, weight_type=QuantType.QInt8,
            op_types_to_quantize=["MatMul", "Gather"],
        )  # fmt: skip
        network = onnx.load(small)
        network.doc_string = ""
        file.write_bytes(lzma.compress(network.SerializeToString(), filters=FILTERS))


def calibrate(probabilities: np.ndarray, gold: Sequence[int]) -> float:
    """Return the temperature under which the labels are most probable."""
    logits = np.log(np.clip(probabilities, 1e-6, 1))
    options = np.arange(0.5, 4.01, 0.05)

    def loss(temperature: float) -> float:
        scaled = logits / temperature
        scaled -= np.log(np.exp(scaled).sum(axis=1, keepdims=True))
        return float(-scaled[np.arange(len(gold)), gold].mean())

    return float(min(options, key=loss))


def main(arguments: Sequence[str]) -> None:
    options = parse_options(arguments)
    if not options.calibrate:
        write_network(Trainer(options))
    recalibrate(options.turned)


def write_network(trainer: Trainer) -> None:
    """Write the network of `--out` and its vocabulary into the package."""
    options = trainer.options
    trainer.model.load_state_dict(torch.load(options.out.with_suffix(".pt")))
    export(trainer, product.NETWORK)
    ids = trainer.tokenizer.get_vocab()
    words = sorted(ids, key=ids.__getitem__)[: options.shipped_words]
    product.VOCABULARY.write_text("\n".join(words) + "\n")
    print(product.NETWORK.stat().st_size, "bytes")


def recalibrate(turned: float) -> None:
    """Choose temperature and thresholds on the utterances for choices, and write them."""
    write_calibration(temperature=1.0, unclear_below=0.0, opposed_from=1.0)
    chosen_on = [u for name in CHOSEN_ON for u in read_calls(HERE / name) if u.label in LABELS]
    product.calibration.cache_clear()
    found = product.UtteranceEncoder().probabilities([context_of(u) for u in chosen_on])
    print(describe(chosen_on, found))
    gold = [LABELS.index(u.label) for u in chosen_on]
    temperature = calibrate(np.array(found), gold)
    scaled = [scale(row, temperature) for row in found]
    opposed = choose_threshold(scaled, gold, turned)
    write_calibration(
        temperature=round(temperature, 2), unclear_below=UNCLEAR_BELOW, opposed_from=opposed
    )
    print(product.CALIBRATION.read_text())


def write_calibration(**values: float) -> None:
    product.CALIBRATION.write_text(json.dumps(values) + "\n")


def scale(row: product.LabelProbabilities, temperature: float) -> product.LabelProbabilities:
    """Return the probabilities under a temperature."""
    powers = np.clip(np.array(row), 1e-6, 1) ** (1 / temperature)
    return product.LabelProbabilities(*(powers / powers.sum()).tolist())


def choose_threshold(
    found: Sequence[product.LabelProbabilities], gold: Sequence[int], turned: float
) -> float:
    """Return the highest part of the opposite under which few enough opinions are turned round."""
    neutral = LABELS.index("neutral")
    opinions = [(row, label) for row, label in zip(found, gold, strict=True) if label != neutral]
    for opposed in np.arange(0.5, 0.04, -0.01):
        unclear = product.UnclearFrom(UNCLEAR_BELOW, float(opposed))
        wrong = sum(
            str(row.label) == LABELS[2 - label] and not row.is_unclear(unclear)
            for row, label in opinions
        )
        if wrong <= turned * len(opinions):
            return round(float(opposed), 2)
    raise SystemExit(f"No threshold turns {turned:.0%} of opinions round.")


if __name__ == "__main__":
    random.seed(0)
    main(sys.argv[1:])
