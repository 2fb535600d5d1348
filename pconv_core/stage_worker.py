"""One of the processes that train a stage together: what `Study.train` starts by torchrun."""

import json
import sys

from pconv_core import distributed
from pconv_core.profiles import from_settings
from pconv_core.study import Study

if __name__ == "__main__":
    settings, model, size, stage = sys.argv[1:]
    with distributed.group():
        Study(from_settings(json.loads(settings))).train(model, int(size), stage)
