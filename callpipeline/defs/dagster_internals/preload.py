"""Imports and reads what runs need into the process that they are forked from (see `services`)."""

import gc
import importlib
import os
import traceback

# numpy would start threads, with which a process is better not forked.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

MODULES = (
    "dagster._grpc.impl",
    "dagster._grpc.server",
    "callpipeline.definitions",
    "callpipeline.defs.dagster_internals.services",
    "callpipeline.engines.diarize.voices",
    "callpipeline.engines.encoder.network",
    "callpipeline.engines.http.messages",
    "callpipeline.engines.http.service",
    "callpipeline.engines.http.tokens",
    "callpipeline.engines.sentiment.lexicon",
    "callpipeline.engines.sentiment.remote",
    "callpipeline.engines.sentiment.encoder_judge",
    "callpipeline.engines.speech",
    "callpipeline.engines.split.channels",
    "callpipeline.engines.split.remote",
    "callpipeline.engines.transcribe.remote",
    "callpipeline.engines.transcribe.supplied",
    "callpipeline.engines.transcribe.whisper",
    "callpipeline.wiring.engines",
    # Imported inside functions of these.
    "anyio._backends._asyncio",
    "av",
    "dagster._core.storage.defs_state.blob_storage_state_storage",
    "httpx",
    "numpy",
    "onnxruntime",
    "soundfile",
    "soxr",
    "tokenizers",
    "upath",
)


def read_ahead() -> None:
    """Compute what is computed on first use: definitions, statements, words, and networks."""
    from upath import UPath

    from callpipeline.defs.partitions import PROCESS_CALLS_JOB
    from callpipeline.domain.competitors.words import word_statistics
    from callpipeline.storage.postgres.sql import statements
    from callpipeline.wiring.engines import company_slots, load_networks

    repository = importlib.import_module("callpipeline.definitions").defs.get_repository_def()
    repository.get_job(PROCESS_CALLS_JOB)
    statements()
    word_statistics("the")
    _ = company_slots().name
    load_networks()
    UPath(os.sep)  # Dagster's instance has one


try:
    for name in MODULES:
        importlib.import_module(name)
    read_ahead()
except Exception:  # a run imports again, and reports the error
    traceback.print_exc()

gc.collect()
gc.freeze()  # the collector of a run does not copy these pages
