"""Lets the process that forks runs outlive a SIGTERM to its process group.

A service manager, and `callpipeline code-server`, stop the whole group. Each run then hands its
calls back, which takes seconds; without the process that forked it, the code server would take it
for dead at once. This process ends with the last one that uses it.
"""

import os
import signal

signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.register_at_fork(after_in_child=lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL))
