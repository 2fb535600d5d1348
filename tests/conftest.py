"""What all tests share: none has a time limit, which a busy machine would break."""

from hypothesis import settings

settings.register_profile("no time limit", deadline=None)
settings.load_profile("no time limit")
