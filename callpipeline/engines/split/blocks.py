"""Blocks of 16-bit samples, the form in which recordings pass through."""

import numpy as np
from numpy.typing import NDArray

Block = NDArray[np.int16]
"""Samples × channels, at most the first two channels."""

BLOCK_SAMPLES = 65_536
"""Handing on FFmpeg's frames one by one takes 2.5 times as long as in blocks of this size."""
