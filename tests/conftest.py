"""What all tests share: one thread, no time limit, which a busy machine would break, and Ctrl-C."""

import os
import signal

from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as the commands; read when torch is imported
settings.register_profile("no time limit", deadline=None)
settings.load_profile("no time limit")

# A shell ignores SIGINT for what it starts in the background, and so would all that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
