"""callpipeline: which competitors are named in recorded calls, by whom, when and how."""

import os

# onnxruntime otherwise writes a device ID below ~/.cache and sends telemetry.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
