"""Sentiment by a language model behind any server with OpenAI's API, held to what was said.

A judgement counts only with a quote that stands in the transcript; the model is shown no more than
what is said around the mentions, and nothing that speaks to it (docs/decisions/0018).
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from callpipeline.domain.mention import Mention
from callpipeline.domain.sentiment import Judgement, Sentiment, Verdict
from callpipeline.domain.transcript import Segment
from callpipeline.engines.http.answers import shaped
from callpipeline.engines.http.openai import Forms
from callpipeline.engines.http.requests import Request
from callpipeline.engines.http.service import Service
from callpipeline.engines.ports import Conversation
from callpipeline.engines.sentiment.addressed import addressed
from callpipeline.engines.sentiment.apart import unjudged_by
from callpipeline.engines.sentiment.lines import (
    Line,
    Place,
    batches,
    lines_of,
    places_of,
    window,
)
from callpipeline.engines.sentiment.openai_answer import Answered, Completion, Unfit, answers
from callpipeline.engines.sentiment.openai_request import CHAT_FORMS, Asked, ChatForm, asked
from callpipeline.engines.sentiment.quotes import Hidden, spoken, supported
from callpipeline.errors import CallpipelineError, EngineUnavailable, MissingObject, TransientError

PATH = "/chat/completions"
MOST_MENTIONS = (20, 10, 5)
"""In a request, for each sample: what was not judged is asked for again, in smaller lots."""


@dataclass(frozen=True)
class Reading:
    """A call as it is shown to a model: its lines, the mentions in them, and what is hidden."""

    lines: tuple[Line, ...]
    mentions: Mapping[str, Mention]
    places: Mapping[str, Place]
    windows: Mapping[str, frozenset[int]]
    hidden: Hidden

    def is_hidden(self, mention_id: str) -> bool:
        place = self.places[mention_id]
        return any((place.line, at) in self.hidden for at in range(place.first, place.last + 1))

    def line_of(self, mention_id: str) -> str:
        """The whole line of a mention, as written."""
        return " ".join(token.text for token in self.lines[self.places[mention_id].line].tokens)

    def request(self, mention_ids: Sequence[str]) -> Asked:
        shown = frozenset().union(*(self.windows[each] for each in mention_ids))
        mentions = [(self.mentions[each], self.places[each]) for each in mention_ids]
        return asked(self.lines, shown, mentions, self.hidden)

    def quote(self, mention_id: str, answer: Answered) -> str | None:
        """The words of the transcript that bear an answer out, None where none do."""
        place, shown = self.places[mention_id], self.windows[mention_id]
        said = spoken(self.lines, shown, place, self.hidden)
        is_opinion = answer.sentiment in (Sentiment.POSITIVE, Sentiment.NEGATIVE)
        return supported(answer.quote, said, is_opinion=is_opinion)


def read(segments: Sequence[Segment], mentions: Sequence[Mention]) -> Reading:
    """Prepare a call. Raises MissingObject where mentions are of other words than these."""
    lines = lines_of(segments, mentions)
    places = places_of(lines, mentions)
    if len(places) < len(mentions):
        raise MissingObject(
            "The mentions are of an older transcript: materialize competitor_mentions first."
        )
    windows = {mention_id: window(lines, place) for mention_id, place in places.items()}
    by_id = {mention.mention_id: mention for mention in mentions}
    return Reading(lines, by_id, places, windows, addressed(lines, places))


class OpenaiJudge:
    """Has a model judge the mentions of a call, several in a request, in up to three samples."""

    def __init__(self, service: Service, model: str) -> None:
        self.name = f"openai {model}"
        self.where = service.where
        self._service = service
        self._model = model
        self._forms = Forms(CHAT_FORMS)

    async def judge(
        self, conversation: Conversation, mentions: Sequence[Mention]
    ) -> tuple[Verdict, ...]:
        """See `SentimentJudge`. Raises EngineUnavailable, EngineAway, EngineRefused."""
        reading = await asyncio.to_thread(read, conversation.segments, mentions)
        judged, failed = await self._judged(reading)
        hidden = [each for each in mentions if reading.is_hidden(each.mention_id)]
        shown = [each for each in mentions if not reading.is_hidden(each.mention_id)]
        verdicts = {v.mention_id: v for v in outcome(shown, judged, failed)}
        verdicts |= {each.mention_id: self._unasked(reading, each) for each in hidden}
        return tuple(verdicts[mention.mention_id] for mention in mentions)

    async def _judged(
        self, reading: Reading
    ) -> tuple[dict[str, Judgement], dict[str, CallpipelineError]]:
        """The judgements by mention, and what kept the others from being judged."""
        judged: dict[str, Judgement] = {}
        failed: dict[str, CallpipelineError] = {}
        shown = [each for each in reading.places if not reading.is_hidden(each)]
        for sample, most in enumerate(MOST_MENTIONS):
            left = [each for each in shown if each not in judged and each not in failed]
            for batch in batches(left, reading.windows, reading.lines, most):
                try:
                    judged |= await self._sample(reading, batch, sample)
                except CallpipelineError as error:
                    failed |= dict.fromkeys(batch, error)
        left = [each for each in shown if each not in judged and each not in failed]
        return judged, failed | dict.fromkeys(left, self._unfit())

    async def _sample(
        self, reading: Reading, batch: Sequence[str], sample: int
    ) -> dict[str, Judgement]:
        """Those of the mentions that one answer judges as it should."""
        request = reading.request(batch)

        async def ask(form: ChatForm) -> Completion:
            body = request.body(self._model, form, sample)
            return await self._service.ask(Request("POST", PATH, json=body), shaped(Completion))

        completion = await self._forms.ask(ask)
        try:
            given = answers(completion.text(), request.numbers)
        except Unfit:
            return {}
        found = {request.numbers[number]: answer for number, answer in given.items()}
        return {
            mention_id: self._judgement(reading.mentions[mention_id], answer, quote)
            for mention_id, answer in found.items()
            if (quote := reading.quote(mention_id, answer))
        }

    def _judgement(self, mention: Mention, answer: Answered, quote: str) -> Judgement:
        return Judgement(
            mention_id=mention.mention_id,
            competitor=mention.competitor,
            sentiment=answer.sentiment,
            score=answer.score,
            rule=f"language model: {self._model}",
            quote=quote,
            engine=self.name,
        )

    def _unasked(self, reading: Reading, mention: Mention) -> Judgement:
        """Of a name within words that speak to a machine: a matter for a person."""
        return Judgement(
            mention_id=mention.mention_id,
            competitor=mention.competitor,
            sentiment=Sentiment.UNSURE,
            score=0.0,
            rule="not shown to the language model: the words speak to a machine",
            quote=reading.line_of(mention.mention_id),
            engine=self.name,
        )

    def _unfit(self) -> EngineUnavailable:
        return EngineUnavailable(
            f"The sentiment service at {self._service.where} gave no result: in "
            f"{len(MOST_MENTIONS)} tries the model gave no judgement that a quote bears out."
        )


def outcome(
    mentions: Sequence[Mention],
    judged: Mapping[str, Judgement],
    failed: Mapping[str, CallpipelineError],
) -> tuple[Verdict, ...]:
    """A verdict on each mention. Raises what failed where nothing could be judged at all."""
    if failed and not judged:
        errors = list(failed.values())
        raise next((error for error in errors if isinstance(error, TransientError)), errors[0])
    found: dict[str, Verdict] = dict(judged)
    for mention in mentions:
        if error := failed.get(mention.mention_id):
            [found[mention.mention_id]] = unjudged_by(error, [mention])
    return tuple(found[mention.mention_id] for mention in mentions)
