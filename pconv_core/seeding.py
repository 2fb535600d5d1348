"""Counter-based random numbers: everything random is a pure function of (seed, number)."""

import numpy as np

# Separate streams, so that a photograph's crop and its mask never share numbers.
_NAMES = ("mask", "crop", "order", "occlusion", "features", "thin", "kind", "lama")
STREAMS = {name: place for place, name in enumerate(_NAMES)}


def generator(seed: int, number: int, stream: str) -> np.random.Generator:
    """Return the generator of one sample.

    Philox (Salmon et al. 2011) is a bijection of key and counter, so neither the order nor the
    process in which samples are drawn can change them.
    """
    for name, value in (("seed", seed), ("number", number)):
        if not 0 <= value < 2**63:
            raise ValueError(f"{name} is {value}; it should be from 0 to 2**63 - 1")
    # The generator counts up in the lowest word; `number` goes into a higher one.
    counter = np.array([0, number, 0, 0], dtype=np.uint64)
    key = np.array([seed, STREAMS[stream]], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))
