"""What can be wrong with what people give, told in a line each; a fault of ours is a traceback."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_EXPECTED = (ArithmeticError, MemoryError, OSError, RuntimeError, ValueError)  # and OpenCV's own


def line(error: Exception) -> str:
    """Tell an error in one line; one that is not expected is raised again."""
    if not isinstance(error, _EXPECTED) and type(error).__module__ != "cv2":
        raise error
    return " ".join(str(error).split()) or type(error).__name__


@contextmanager
def left_out(path: Path, messages: list[str]) -> Iterator[None]:
    """One bad picture must not cost the others: what is wrong with it is added to `messages`."""
    try:
        yield
    except Exception as error:
        told = line(error)
        messages.append(told if path.name in told else f"{path}: {told}")


def say(kind: str, message: str) -> None:
    """Print a note, a warning or what is left out on standard error."""
    print(f"{kind}: {message}", file=sys.stderr)
