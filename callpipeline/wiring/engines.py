"""The engines that the settings name."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace

from callpipeline.config import Settings
from callpipeline.domain.call import Lane
from callpipeline.engines.limits import JudgeInTurn, SplitterInTurn, TranscriberInTurn
from callpipeline.pipeline.stages import Engines
from callpipeline.storage.database import Database
from callpipeline.storage.turns import AdvisoryTurns

NICENESS = {Lane.LIVE: 0, Lane.BULK: 10}
"""Of recogniser processes: on one machine a live call gets nine tenths of the processor."""


@contextmanager
def open_engines(settings: Settings, lane: Lane = Lane.LIVE) -> Iterator[Engines]:
    """The engines that the settings name. Their heavy libraries load when they are first used."""
    from callpipeline.engines.sentiment.lexicon import LexiconJudge
    from callpipeline.engines.speech import SileroSpeechDetector
    from callpipeline.engines.split.local import LocalSplitter
    from callpipeline.engines.transcribe.pocketsphinx import PocketsphinxTranscriber

    splitters = {"local": LocalSplitter}
    transcribers = {"auto": PocketsphinxTranscriber, "pocketsphinx": PocketsphinxTranscriber}
    judges = {"lexicon": LexiconJudge}
    hear, workers = transcribers[settings.transcriber], settings.recogniser_workers
    with closing(hear(workers, niceness=NICENESS[lane])) as transcriber:
        yield Engines(
            splitters[settings.splitter](),
            SileroSpeechDetector(),
            transcriber,
            judges[settings.sentiment](),
        )


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
    if limit := settings.sentiment_requests:
        engines = replace(engines, judge=JudgeInTurn(engines.judge, turns("sentiment", limit)))
    return engines
