"""The engines that the settings name."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from callpipeline.config import Settings
from callpipeline.domain.call import Lane
from callpipeline.domain.sentiment import Sentiment
from callpipeline.engines.limits import JudgeInTurn, SplitterInTurn, TranscriberInTurn
from callpipeline.engines.ports import SentimentJudge, Splitter
from callpipeline.errors import SettingsInvalid
from callpipeline.pipeline.stages import Engines
from callpipeline.storage.database import Database
from callpipeline.storage.turns import AdvisoryTurns
from callpipeline.wiring.openai import openai_judge, openai_transcriber
from callpipeline.wiring.recognisers import RECOGNISERS, choose
from callpipeline.wiring.registry import AUTO, Build, Parts, Role, build
from callpipeline.wiring.services import remote_judge, remote_splitter, remote_transcriber

if TYPE_CHECKING:
    from callpipeline.engines.http.breaker import Outages


def local_splitter(parts: Parts) -> Splitter:
    from callpipeline.engines.split.local import LocalSplitter

    return LocalSplitter()


def lexicon(parts: Parts) -> SentimentJudge:
    from callpipeline.engines.sentiment.lexicon import LexiconJudge

    return LexiconJudge()


REMOTE = "remote"
OWN: Mapping[Role, Mapping[str, Build]] = {
    Role.SPLITTER: {"local": local_splitter, REMOTE: remote_splitter},
    Role.TRANSCRIBER: RECOGNISERS | {REMOTE: remote_transcriber, "openai": openai_transcriber},
    Role.SENTIMENT: {"lexicon": lexicon, REMOTE: remote_judge, "openai": openai_judge},
}
HERE = {Role.SPLITTER: "local", Role.TRANSCRIBER: "pocketsphinx", Role.SENTIMENT: "lexicon"}
"""Engines that need nothing but this machine."""
ADDRESSES = {
    Role.SPLITTER: "split_url",
    Role.TRANSCRIBER: "transcription_url",
    Role.SENTIMENT: "sentiment_url",
}
"""The setting with a service's address, which makes it the engine where none is named."""


def chosen(settings: Settings) -> dict[Role, str]:
    """The name of each engine, where `auto` stands for the best that is there."""
    best = HERE | {Role.TRANSCRIBER: choose(settings).name}
    best |= {role: REMOTE for role, address in ADDRESSES.items() if getattr(settings, address)}
    named = {role: getattr(settings, role) for role in Role}
    return {role: best[role] if name == AUTO else name for role, name in named.items()}


@contextmanager
def open_engines(
    settings: Settings,
    lane: Lane = Lane.LIVE,
    *,
    hints: Sequence[str] = (),
    outages: "Outages | None" = None,
) -> Iterator[Engines]:
    """The engines that the settings name. Their heavy libraries load when they are first used.

    Raises SettingsInvalid for a name that nobody knows, and for what an engine lacks.
    """
    from callpipeline.engines.speech import SileroSpeechDetector

    names = chosen(settings)
    with ExitStack() as opened:
        parts = Parts(settings, opened, lane, hints, outages)
        made = {role: build(role, names[role], OWN[role], parts) for role in Role}
        yield Engines(
            made[Role.SPLITTER],
            SileroSpeechDetector(),
            made[Role.TRANSCRIBER],
            made[Role.SENTIMENT],
        )


def refuse_to_serve_remote(settings: Settings) -> None:
    """Raises SettingsInvalid where an engine is a service: a server could then ask itself."""
    for role, name in chosen(settings).items():
        if name == REMOTE:
            raise SettingsInvalid(
                f"CALLPIPELINE_{role.upper()} is remote, but a server of engines needs engines of "
                "its own: name another one for this command, "
                f"as in CALLPIPELINE_{role.upper()}={HERE[role]} callpipeline engines serve."
            )


def tone_of(text: str) -> tuple[Sentiment, float]:
    """The tone of a text as a whole, by the word lists of the judge `lexicon`."""
    from callpipeline.engines.sentiment.overall import tone_of

    return tone_of(text)


def in_turn(
    settings: Settings, engines: Engines, database: Database, lane: Lane, stack: ExitStack
) -> Engines:
    """The engines, where settings limit the requests to one at once, over all runs."""

    def turns(service: str, limit: int) -> AdvisoryTurns:
        return stack.enter_context(closing(AdvisoryTurns(database, service, limit, lane)))

    if limit := settings.splitter_requests:
        splitter = SplitterInTurn(engines.splitter, turns("splitter", limit))
        engines = replace(engines, splitter=splitter)
    if limit := settings.transcriber_requests:
        transcriber = TranscriberInTurn(engines.transcriber, turns("transcriber", limit))
        engines = replace(engines, transcriber=transcriber)
    if limit := sentiment_requests(settings):
        engines = replace(engines, judge=JudgeInTurn(engines.judge, turns("sentiment", limit)))
    return engines


def sentiment_requests(settings: Settings) -> int | None:
    """How many may be under way at once: of a service that was always asked for one, one."""
    is_remote = chosen(settings)[Role.SENTIMENT] == REMOTE
    return settings.sentiment_requests or (1 if is_remote else None)
