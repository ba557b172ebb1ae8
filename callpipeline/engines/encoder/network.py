"""The encoder: sentiment towards a marked name, and whether the name is a company's.

A small BERT-like network, fine-tuned by `training/encoder/train.py` and run with onnxruntime on
one thread. Its files and their licence are in `files`.
"""

import hashlib
import json
import lzma
import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from callpipeline.domain.audio import Speaker
from callpipeline.domain.competitors.disambiguation.context import COMPETITOR, MentionContext
from callpipeline.domain.sentiment import Sentiment
from callpipeline.domain.utterances import TargetContext, Turn
from callpipeline.engines.encoder.inputs import MARKERS, EncodedInput, encode_context

if TYPE_CHECKING:
    from numpy.typing import NDArray

FILES = Path(__file__).with_name("files")
NETWORK = FILES / "encoder.onnx.xz"
VOCABULARY = FILES / "vocabulary.txt"
CALIBRATION = FILES / "calibration.json"
OTHER_COMPANY = "Amazon"
"""Stands for the names of other competitors, as in the training data."""
LABELS = (Sentiment.NEGATIVE, Sentiment.NEUTRAL, Sentiment.POSITIVE)


class UnclearFrom(NamedTuple):
    """Limits of an unclear label: it is less probable than `below`, or its opposite is probable.

    `opposed` is the opposite's part of the probability of both.
    """

    below: float
    opposed: float


class LabelProbabilities(NamedTuple):
    """Calibrated probabilities of the three labels."""

    negative: float
    neutral: float
    positive: float

    @property
    def label(self) -> Sentiment:
        """The most probable label."""
        return LABELS[max(range(len(LABELS)), key=self.__getitem__)]

    @property
    def score(self) -> float:
        """The sentiment from −1 to 1."""
        return self.positive - self.negative

    def is_unclear(self, unclear: UnclearFrom) -> bool:
        """Return True if the label should not be given."""
        if max(self) < unclear.below:
            return True
        opinions = self.negative + self.positive
        opposite = min(self.negative, self.positive)
        return self.label is not Sentiment.NEUTRAL and opposite >= unclear.opposed * opinions


class UtteranceEncoder:
    """Encoder of the files in a folder; it is loaded on first use."""

    def __init__(self, network: Path = NETWORK) -> None:
        self._network = network
        self._lock = threading.Lock()
        self._session: Any = None
        self._tokenizer: Any = None
        self._marker_ids: dict[str, int] = {}

    @property
    def version(self) -> str:
        """Return the first characters of the network's SHA-256."""
        return _hash(self._network)[:8]

    def load(self) -> None:
        """Load network and tokenizer, which the first judgement does otherwise."""
        with self._lock:
            self._load()

    def probabilities(self, contexts: Sequence[TargetContext]) -> list[LabelProbabilities]:
        """Return the probabilities for each context. They depend on nothing but the context."""
        with self._lock:
            self._load()
            temperature = calibration()["temperature"]
            return [self._judge(context, temperature) for context in contexts]

    def company_log_odds(self, contexts: Sequence[TargetContext]) -> list[float]:
        """Return for each context the log-odds that the marked name is a company's."""
        with self._lock:
            self._load()
            return [float(self._run(context)[1][0]) for context in contexts]

    def _judge(self, context: TargetContext, temperature: float) -> LabelProbabilities:
        scores = self._run(context)[0][0]
        return LabelProbabilities(*_softmax(scores / temperature).tolist())

    def _run(self, context: TargetContext) -> "list[NDArray[Any]]":
        encoded = encode_context(context, self._tokenize, self._marker_ids)
        return self._session.run(None, _feeds(encoded))

    def _tokenize(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def _load(self) -> None:
        if self._session is not None:
            return
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        self._tokenizer = _tokenizer()
        self._marker_ids = {marker: self._tokenizer.token_to_id(marker) for marker in MARKERS}
        self._session = onnxruntime.InferenceSession(
            lzma.decompress(self._network.read_bytes()), options, providers=["CPUExecutionProvider"]
        )


class CompanySlotScorer:
    """Scores the contexts of ambiguous names; see `CompanySlots`."""

    def __init__(self, encoder: UtteranceEncoder) -> None:
        self._encoder = encoder
        self.name = f"encoder {encoder.version}"

    def load(self) -> None:
        """Load the network, which the first call does otherwise."""
        self._encoder.load()

    def __call__(self, contexts: Sequence[MentionContext]) -> list[float]:
        return self._encoder.company_log_odds([_target(context) for context in contexts])


def unclear_from() -> UnclearFrom:
    """Return from which calibrated probabilities on a label is unclear."""
    values = calibration()
    return UnclearFrom(values["unclear_below"], values["opposed_from"])


def _feeds(encoded: EncodedInput) -> "dict[str, NDArray[Any]]":
    import numpy as np

    return {
        "ids": np.array([encoded.ids], np.int64),
        "segments": np.array([encoded.segments], np.int64),
    }


def _softmax(scores: "NDArray[Any]") -> "NDArray[Any]":
    import numpy as np

    powers = np.exp(scores - scores.max())
    return powers / powers.sum()


def _tokenizer() -> Any:
    """Return BERT's word piece tokenizer without case, for the words of the network."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    words = VOCABULARY.read_text(encoding="utf-8").splitlines()
    vocabulary = {word: index for index, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


@cache
def calibration() -> dict[str, float]:
    """Return the temperature of the network's scores, and the thresholds of `unclear_from`."""
    return json.loads(CALIBRATION.read_text(encoding="utf-8"))


@cache
def _hash(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _target(context: MentionContext) -> TargetContext:
    suffix = "'s " if context.is_possessive else ""
    question = (Turn(Speaker.AGENT, " ".join(context.question)),) if context.question else ()
    return TargetContext(
        left=_text(context.before),
        name=context.text,
        right=suffix + _text(context.after),
        speaker=Speaker.CUSTOMER,
        before=question,
        after=(),
    )


def _text(tokens: Sequence[str]) -> str:
    return " ".join(OTHER_COMPANY if token == COMPETITOR else token for token in tokens)
