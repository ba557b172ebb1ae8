"""Imports what runs need into the process that they are forked from (see `services`)."""

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
    "callpipeline.engines.diarize.voices",
    "callpipeline.engines.http.messages",
    "callpipeline.engines.sentiment.lexicon",
    "callpipeline.engines.sentiment.remote",
    "callpipeline.engines.speech",
    "callpipeline.engines.split",
    "callpipeline.engines.transcribe.remote",
    "callpipeline.engines.transcribe.supplied",
    "callpipeline.engines.transcribe.whisper",
    "callpipeline.wiring.engines",
    # Imported inside functions of these.
    "av",
    "httpx",
    "numpy",
    "onnxruntime",
    "soundfile",
    "soxr",
)

try:
    for name in MODULES:
        importlib.import_module(name)
except Exception:  # a run imports again, and reports the error
    traceback.print_exc()

gc.collect()
gc.freeze()  # the collector of a run does not copy these pages
