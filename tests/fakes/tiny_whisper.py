"""Tiny CTranslate2 Whisper model (about a megabyte) that returns the same words for any audio.

It is generated in a fraction of a second with numpy and tokenizers, without trained weights: each
token's embedding is a random direction, and the projection of the next token has the same
direction, so the decoder goes from the last token of the prompt through the words to the end. Cross
attention, from which words get their times, is random and does not affect the text.
"""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

WIDTH, HEADS, LAYERS, MELS = 64, 2, 1, 80
SPECIAL = (
    "<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|translate|>", "<|transcribe|>",
    "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>",
)  # fmt: skip
TIMESTAMPS = tuple(f"<|{step * 0.02:.2f}|>" for step in range(1501))
NEXT_WORD_LOGIT = 4.0
"""Logit of the next word, which gives a probability near 1."""
END_PENALTY = 12.0


def a_tiny_whisper(
    folder: Path, words: tuple[str, ...] = ("we", "are", "with", "Vodafone", "now.")
) -> Path:
    """Write a model that returns `words` (each at most once) for every window of speech."""
    folder.mkdir(parents=True, exist_ok=True)
    plain = [*_byte_letters(), *(f"Ġ{word}" for word in words)]
    tokens = [*plain, *SPECIAL, *TIMESTAMPS]
    _save_tokenizer(folder, plain)
    _save_model(folder, tokens, ("<|notimestamps|>", *(f"Ġ{w}" for w in words), "<|endoftext|>"))
    features = {"feature_size": MELS, "sampling_rate": 16000, "hop_length": 160, "n_fft": 400}
    (folder / "preprocessor_config.json").write_text(json.dumps(features | {"chunk_length": 30}))
    return folder


def _byte_letters() -> list[str]:
    from tokenizers.pre_tokenizers import ByteLevel

    return sorted(ByteLevel.alphabet())


def _save_tokenizer(folder: Path, plain: list[str]) -> None:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    vocabulary = {token: index for index, token in enumerate(plain)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # pyright: ignore
    tokenizer.decoder = decoders.ByteLevel()  # pyright: ignore
    tokenizer.add_special_tokens([AddedToken(t, special=True) for t in (*SPECIAL, *TIMESTAMPS)])
    tokenizer.save(str(folder / "tokenizer.json"))


def _save_model(folder: Path, tokens: list[str], chain: tuple[str, ...]) -> None:
    from ctranslate2.specs.whisper_spec import WhisperSpec

    spec = WhisperSpec(LAYERS, HEADS, LAYERS, HEADS)
    spec.register_vocabulary(tokens)
    spec.config.suppress_ids = []  # pyright: ignore
    spec.config.suppress_ids_begin = []  # pyright: ignore
    spec.config.lang_ids = [tokens.index("<|en|>")]  # pyright: ignore
    spec.config.alignment_heads = [[0, 0], [0, 1]]  # pyright: ignore
    filler = _Filler()
    filler.encoder(spec.encoder)
    filler.decoder(spec.decoder, len(tokens), [tokens.index(token) for token in chain])
    spec.validate()
    spec.save(str(folder))


class _Filler:
    """Fills a specification with weights."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(7)

    def encoder(self, spec: Any) -> None:
        for conv, inputs in ((spec.conv1, MELS), (spec.conv2, WIDTH)):
            conv.weight = self._random_weights(WIDTH, inputs, 3)
            conv.bias = self._random_weights(WIDTH)
        spec.position_encodings.encodings = self._random_weights(1500, WIDTH)
        self._norm(spec.layer_norm)
        for layer in spec.layer:
            self._attention(layer.self_attention, 3 * WIDTH)
            self._feed_forward(layer.ffn)

    def decoder(self, spec: Any, size: int, chain: list[int]) -> None:
        spec.embeddings.weight = self._random_weights(size, WIDTH) * 10
        spec.position_encodings.encodings = np.zeros((448, WIDTH), np.float32)
        self._norm(spec.layer_norm)
        for layer in spec.layer:
            self._attention(layer.self_attention, 3 * WIDTH)
            self._attention(layer.attention, WIDTH, 2 * WIDTH)
            self._feed_forward(layer.ffn)
        projection = np.zeros((size, WIDTH), np.float32)
        for token, following in pairwise(chain):
            direction = spec.embeddings.weight[token]
            centred = direction - direction.mean()
            projection[following] = NEXT_WORD_LOGIT * centred / np.linalg.norm(centred)
        self._linear(spec.projection, projection)
        # If no token is likely, the end must be least likely: else the beam search ends too early.
        spec.projection.bias[chain[-1]] = -END_PENALTY

    def _attention(self, spec: Any, *outputs: int) -> None:
        self._norm(spec.layer_norm)
        for linear, size in zip(spec.linear, outputs, strict=False):
            self._linear(linear, self._random_weights(size, WIDTH))
        self._linear(spec.linear[-1], np.zeros((WIDTH, WIDTH), np.float32))

    def _feed_forward(self, spec: Any) -> None:
        self._norm(spec.layer_norm)
        self._linear(spec.linear_0, self._random_weights(2 * WIDTH, WIDTH))
        self._linear(spec.linear_1, np.zeros((WIDTH, 2 * WIDTH), np.float32))

    def _linear(self, spec: Any, weight: "np.ndarray[Any, Any]") -> None:
        spec.weight, spec.bias = weight, np.zeros(len(weight), np.float32)

    def _norm(self, spec: Any) -> None:
        spec.gamma, spec.beta = np.ones(WIDTH, np.float32), np.zeros(WIDTH, np.float32)

    def _random_weights(self, *shape: int) -> "np.ndarray[Any, Any]":
        return self._random.normal(0, 0.1, shape).astype(np.float32)
