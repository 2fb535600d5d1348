"""The reproducibility study: profiles, runs, tables, figures, deviations, claims and summary."""

from importlib import import_module

# Imported when asked for: `make` reads profiles without waiting for torch.
_HOMES = {
    "STAGES": "run",
    "Study": "run",
    "label": "run",
    "Profile": "profile",
    "load_profile": "profile",
}

__all__ = ["STAGES", "Profile", "Study", "label", "load_profile"]


def __getattr__(name: str):
    """Import a public name from the module that defines it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
