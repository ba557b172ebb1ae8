"""Clustering of windows into two voices, and the decision that there are two.

Thresholds were chosen on the calls named in docs/decisions/0027-speakers-in-mono.md, and measured
there on others.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from callpipeline.engines.diarize.encoder import WINDOW_S, EncodedSpeech

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_CLUSTERED = 4000
"""Windows that clusters are made from; of longer calls, every second or third is taken."""
MIN_CLUSTERED_S = 1.2
"""Shorter windows say little about the voice: they are assigned, but don't shape clusters."""
MIN_WINDOWS = 8
MIN_WINDOWS_PER_VOICE = 4

DISTINCT_BELOW = 0.82
"""Cosine of two clusters below which they are two voices; halves of one voice have 0.87 or more."""
SAME_ABOVE = 0.93
"""Cosine above which they are one voice, whatever else."""
MIN_AGREEMENT = 0.5
"""Between them, windows of an utterance must share a voice beyond chance (Cohen's kappa)."""
MIN_PAIRS = 12
MIN_SWITCHES = 5
"""And utterances must alternate, as in a conversation; one voice drifts instead."""

STEP_S = 0.1
EVIDENCE_PER_STEP = 3.0
"""Log-likelihood of 0.1 s per unit of difference in cosine."""
SWITCH_COST = 1.0
SWITCH_COST_IN_PAUSE = 0.3
"""Log-likelihood that a change of voice costs within speech, and in a pause."""

_TRIALS = 3
_ROUNDS = 30


@dataclass(frozen=True, slots=True)
class Clusters:
    """Two clusters of windows: `labels` (0 or 1) of those they were made from, and `centers`."""

    windows: "NDArray[np.int64]"
    labels: "NDArray[np.int64]"
    centers: "NDArray[np.float32]"

    @property
    def cosine(self) -> float:
        return float(self.centers[0] @ self.centers[1])


def find_two_voices(speech: EncodedSpeech) -> Clusters | None:
    """Cluster the windows; None if they are of one voice, or too few."""
    long_enough = np.flatnonzero(speech.ends_s - speech.starts_s >= MIN_CLUSTERED_S)
    if len(long_enough) < MIN_WINDOWS:
        return None
    clusters = _cluster(speech, long_enough[:: -(-len(long_enough) // MAX_CLUSTERED)])
    if min(np.bincount(clusters.labels, minlength=2)) < MIN_WINDOWS_PER_VOICE:
        return None
    if clusters.cosine < DISTINCT_BELOW:
        return clusters
    return clusters if clusters.cosine < SAME_ABOVE and _converse(speech, clusters) else None


def _cluster(speech: EncodedSpeech, windows: "NDArray[np.int64]") -> Clusters:
    """Cluster by k-means, started from halves along each of the main directions."""
    embeddings = speech.embeddings[windows]
    centred = embeddings - embeddings.mean(axis=0)
    starts = ((centred @ axis > 0).astype(int) for axis in _main_directions(centred))
    trials = [_k_means(embeddings, labels) for labels in starts]
    labels = min(trials, key=lambda labels: _scatter(embeddings, labels))
    return Clusters(windows, labels, _centers(embeddings, labels))


def _main_directions(centred: "NDArray[np.float32]") -> Iterator["NDArray[np.float32]"]:
    """Yield the directions of most variance, by power iteration."""
    found: list[NDArray[np.float32]] = []
    for _ in range(_TRIALS):
        axis = centred.std(axis=0)
        for _ in range(_ROUNDS):
            axis = centred.T @ (centred @ axis)
            axis = axis - sum((axis @ other) * other for other in found)
            axis = axis / (np.linalg.norm(axis) + 1e-9)
        found.append(axis)
        yield axis


def _k_means(embeddings: "NDArray[np.float32]", labels: "NDArray[np.int64]") -> "NDArray[np.int64]":
    for _ in range(_ROUNDS):
        means = _means(embeddings, labels)
        squares = (means**2).sum(axis=1) / 2
        nearest = np.argmax(embeddings @ means.T - squares, axis=1)
        if np.array_equal(nearest, labels):
            break
        labels = nearest
    return labels


def _means(embeddings: "NDArray[np.float32]", labels: "NDArray[np.int64]") -> "NDArray[np.float32]":
    return np.stack(
        [
            embeddings[labels == voice].mean(axis=0)
            if (labels == voice).any()
            else embeddings.mean(axis=0)
            for voice in (0, 1)
        ]
    )


def _centers(
    embeddings: "NDArray[np.float32]", labels: "NDArray[np.int64]"
) -> "NDArray[np.float32]":
    means = _means(embeddings, labels)
    return means / np.linalg.norm(means, axis=1, keepdims=True)


def _scatter(embeddings: "NDArray[np.float32]", labels: "NDArray[np.int64]") -> float:
    return float(((embeddings - _means(embeddings, labels)[labels]) ** 2).sum())


def _converse(speech: EncodedSpeech, clusters: Clusters) -> bool:
    """Return true if utterances keep to one cluster each, and alternate between them."""
    pairs = np.array(list(_later_windows(speech, clusters.windows)), int).reshape(-1, 2)
    labels = clusters.labels
    share = labels.mean()
    by_chance = share**2 + (1 - share) ** 2
    agreement = (labels[pairs[:, 0]] == labels[pairs[:, 1]]).mean() if len(pairs) else 0.0
    kappa = float((agreement - by_chance) / (1 - by_chance))
    utterances = speech.utterances[clusters.windows]
    voices = [labels[utterances == each].mean() > 0.5 for each in np.unique(utterances)]
    switches = int(np.count_nonzero(np.diff(np.array(voices, int))))
    return len(pairs) >= MIN_PAIRS and kappa >= MIN_AGREEMENT and switches >= MIN_SWITCHES


def _later_windows(
    speech: EncodedSpeech, windows: "NDArray[np.int64]"
) -> Iterator[tuple[int, int]]:
    """Pair each window with the next one of its utterance that doesn't overlap it."""
    starts_s, utterances = speech.starts_s[windows], speech.utterances[windows]
    later = np.searchsorted(starts_s, starts_s + WINDOW_S - 0.05)
    for one, other in enumerate(later):
        if other < len(windows) and utterances[one] == utterances[other]:
            yield one, int(other)


def evidence(speech: EncodedSpeech, clusters: Clusters) -> "NDArray[np.float64]":
    """Return by how much each step of 0.1 s sounds more like voice 1 than voice 0, in cosine.

    Windows count most at their middle. Steps without a window are 0.
    """
    difference = speech.embeddings @ (clusters.centers[1] - clusters.centers[0])
    steps = int(np.ceil(speech.ends_s[-1] / STEP_S)) + 1 if len(speech) else 0
    total, weights = np.zeros(steps), np.full(steps, 1e-9)
    for start_s, end_s, value in zip(speech.starts_s, speech.ends_s, difference, strict=True):
        first, last = round(start_s / STEP_S), round(end_s / STEP_S)
        from_middle = np.abs(2 * (np.arange(last - first) + 0.5) / max(1, last - first) - 1)
        weight = 1 - 0.9 * from_middle
        total[first:last] += weight * value
        weights[first:last] += weight
    return total / weights


def most_likely_voices(
    evidence: "NDArray[np.float64]", is_speech: "NDArray[np.bool_]"
) -> "NDArray[np.int64]":
    """Return the voice of each step by the Viterbi algorithm, so that voices don't flicker."""
    pause = ~is_speech
    pause[1:] |= ~is_speech[:-1]
    switch_costs = np.where(pause, SWITCH_COST_IN_PAUSE, SWITCH_COST).tolist()
    lead = 0.0  # by how much the best path to voice 1 exceeds that to voice 0
    switched: list[tuple[bool, bool]] = []
    for step, cost in zip((2 * EVIDENCE_PER_STEP * evidence).tolist(), switch_costs, strict=True):
        switched.append((lead > cost, lead < -cost))
        lead = min(cost, max(-cost, lead)) + step
    voices = np.zeros(len(evidence), np.int64)
    voice = int(lead > 0)
    for at in range(len(evidence) - 1, -1, -1):
        voices[at] = voice
        if switched[at][voice]:
            voice = 1 - voice
    return voices
