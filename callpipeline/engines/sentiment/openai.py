"""Sentiment by a language model behind an OpenAI-compatible API.

A judgement counts only with a quote that is in the transcript. The model sees only the lines around
the mentions, without any words that address a machine (docs/decisions/0018).
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from callpipeline.domain.competitors.mentions import Mention
from callpipeline.domain.sentiment import Judgement, JudgeResult, Sentiment, mark_unjudged
from callpipeline.domain.transcripts import Segment
from callpipeline.domain.utterances import STALE_MENTIONS
from callpipeline.engines.http.messages import Request, parse_as
from callpipeline.engines.http.openai import FallbackVariants
from callpipeline.engines.http.service import HttpService
from callpipeline.engines.ports import Conversation
from callpipeline.engines.sentiment.openai_prompt import (
    CHAT_VARIANTS,
    ChatVariant,
    JudgePrompt,
    batches,
    build_prompt,
)
from callpipeline.engines.sentiment.per_competitor import transient_first
from callpipeline.engines.sentiment.prompt_injection import find_injections
from callpipeline.engines.sentiment.transcript_lines import (
    ChatCompletion,
    HiddenTokens,
    InvalidAnswer,
    MentionPosition,
    ModelJudgement,
    TranscriptLine,
    locate_mentions,
    parse_answer,
    speaker_text,
    split_lines,
    verify_quote,
    visible_lines,
)
from callpipeline.errors import CallpipelineError, EngineUnavailable, MissingObject

PATH = "/chat/completions"
MAX_MENTIONS_PER_SAMPLE = (20, 10, 5)
"""Batch size of each sample: unjudged mentions are sent again, in smaller batches."""
NOT_JUDGED = "it has no entry with a quote and one of the four sentiments"
NO_QUOTE = (
    "its quote is no number of a line that its speaker says within thirty words of the name, and "
    "that has more than the name"
)


@dataclass(frozen=True)
class PreparedCall:
    """A call for the model: lines, mentions in them, visible lines, and hidden tokens."""

    lines: tuple[TranscriptLine, ...]
    mentions: Mapping[str, Mention]
    positions: Mapping[str, MentionPosition]
    visible: Mapping[str, frozenset[int]]
    hidden: HiddenTokens

    def is_hidden(self, mention_id: str) -> bool:
        position = self.positions[mention_id]
        tokens = range(position.first, position.last + 1)
        return any((position.line, at) in self.hidden for at in tokens)

    def line_of(self, mention_id: str) -> str:
        """Return the whole line of a mention, as written."""
        line = self.lines[self.positions[mention_id].line]
        return " ".join(token.text for token in line.tokens)

    def prompt(self, mention_ids: Sequence[str]) -> JudgePrompt:
        visible = frozenset().union(*(self.visible[each] for each in mention_ids))
        mentions = [(self.mentions[each], self.positions[each]) for each in mention_ids]
        return build_prompt(self.lines, visible, mentions, self.hidden)

    def quote(
        self, mention_id: str, judgement: ModelJudgement, clauses: Mapping[int, str]
    ) -> str | None:
        """Return the words of the transcript that support a judgement; None if none do."""
        quoted = judgement.quote
        words = quoted if isinstance(quoted, str) else clauses.get(quoted, "")
        position, visible = self.positions[mention_id], self.visible[mention_id]
        text = speaker_text(self.lines, visible, position, self.hidden)
        is_opinion = judgement.sentiment in (Sentiment.POSITIVE, Sentiment.NEGATIVE)
        return verify_quote(words, text, is_opinion=is_opinion)


def prepare(segments: Sequence[Segment], mentions: Sequence[Mention]) -> PreparedCall:
    """Prepare a call. Raises MissingObject if the mentions belong to another transcript."""
    lines = split_lines(segments, mentions)
    positions = locate_mentions(lines, mentions)
    if len(positions) < len(mentions):
        raise MissingObject(STALE_MENTIONS)
    visible = {mention_id: visible_lines(lines, each) for mention_id, each in positions.items()}
    by_id = {mention.mention_id: mention for mention in mentions}
    return PreparedCall(lines, by_id, positions, visible, find_injections(lines, positions))


class OpenaiJudge:
    """Judges the mentions of a call in batches, with up to three samples per mention."""

    def __init__(self, service: HttpService, model: str) -> None:
        self.name = f"openai {model}"
        self.origin = service.origin
        self._service = service
        self._model = model
        self._variants = FallbackVariants(CHAT_VARIANTS)

    async def judge(
        self, conversation: Conversation, mentions: Sequence[Mention]
    ) -> tuple[JudgeResult, ...]:
        """See `SentimentJudge`. Raises EngineUnavailable, ServiceUnavailable, EngineRefused."""
        call = await asyncio.to_thread(prepare, conversation.segments, mentions)
        judgements, errors = await self._judge_visible(call)
        hidden = [each for each in mentions if call.is_hidden(each.mention_id)]
        visible = [each for each in mentions if not call.is_hidden(each.mention_id)]
        results = {each.mention_id: each for each in combine(visible, judgements, errors)}
        results |= {each.mention_id: self._undecided(call, each) for each in hidden}
        return tuple(results[mention.mention_id] for mention in mentions)

    async def _judge_visible(
        self, call: PreparedCall
    ) -> tuple[dict[str, Judgement], dict[str, CallpipelineError]]:
        """Return judgements by mention id, and the errors of the mentions without one."""
        judgements: dict[str, Judgement] = {}
        errors: dict[str, CallpipelineError] = {}
        faults: dict[str, str] = {}
        visible = [each for each in call.positions if not call.is_hidden(each)]
        for sample, max_mentions in enumerate(MAX_MENTIONS_PER_SAMPLE):
            left = [each for each in visible if each not in judgements and each not in errors]
            for batch in batches(left, call.visible, call.lines, max_mentions):
                try:
                    judgements |= await self._sample(call, batch, sample, faults)
                except CallpipelineError as error:
                    errors |= dict.fromkeys(batch, error)
        left = [each for each in visible if each not in judgements and each not in errors]
        return judgements, errors | dict.fromkeys(left, self._no_judgement())

    async def _sample(
        self, call: PreparedCall, batch: Sequence[str], sample: int, faults: dict[str, str]
    ) -> dict[str, Judgement]:
        """Send one batch, and return the judgements with a verified quote.

        `faults` say what was wrong with the answer before; those of this one replace them.
        """
        prompt = call.prompt(batch)

        async def send(variant: ChatVariant) -> ChatCompletion:
            body = prompt.body(self._model, variant, sample, faults)
            request = Request("POST", PATH, json=body)
            return await self._service.send(request, parse_as(ChatCompletion))

        completion = await self._variants.send(send)
        try:
            answer = parse_answer(completion.text(), prompt.mention_ids)
        except InvalidAnswer as error:
            faults |= dict.fromkeys(batch, str(error))
            return {}
        judgements: dict[str, Judgement] = {}
        for number, mention_id in prompt.mention_ids.items():
            if number not in answer:
                faults[mention_id] = NOT_JUDGED
            elif quote := call.quote(mention_id, answer[number], prompt.quotes):
                mention = call.mentions[mention_id]
                judgements[mention_id] = self._judgement(mention, answer[number], quote)
            else:
                faults[mention_id] = NO_QUOTE
        return judgements

    def _judgement(self, mention: Mention, found: ModelJudgement, quote: str) -> Judgement:
        return Judgement(
            mention_id=mention.mention_id,
            competitor=mention.competitor,
            sentiment=found.sentiment,
            score=found.score,
            rule=f"language model: {self._model}",
            quote=quote,
            engine=self.name,
        )

    def _undecided(self, call: PreparedCall, mention: Mention) -> Judgement:
        """Return MIXED, for review by a person, for a mention inside a prompt injection."""
        return Judgement(
            mention_id=mention.mention_id,
            competitor=mention.competitor,
            sentiment=Sentiment.MIXED,
            score=0.0,
            rule="not shown to the language model: the words speak to a machine",
            quote=call.line_of(mention.mention_id),
            engine=self.name,
        )

    def _no_judgement(self) -> EngineUnavailable:
        return EngineUnavailable(
            f"The sentiment service at {self._service.origin} gave no result: the model returned "
            f"no judgement with a valid quote in {len(MAX_MENTIONS_PER_SAMPLE)} attempts."
        )


def combine(
    mentions: Sequence[Mention],
    judgements: Mapping[str, Judgement],
    errors: Mapping[str, CallpipelineError],
) -> tuple[JudgeResult, ...]:
    """Return a result for each mention. Raises an error if all mentions failed."""
    if errors and not judgements:
        raise transient_first(list(errors.values()))
    results: dict[str, JudgeResult] = dict(judgements)
    for mention in mentions:
        if error := errors.get(mention.mention_id):
            [results[mention.mention_id]] = mark_unjudged(error, [mention])
    return tuple(results[mention.mention_id] for mention in mentions)
