"""One of the processes that train a stage together: what `Study.train` starts by torchrun."""

import json
import sys

from pconv_core import distributed
from pconv_core.study.profile import Profile
from pconv_core.study.run import Study

if __name__ == "__main__":
    settings, results, model, size, stage = sys.argv[1:]
    with distributed.group():
        Study(Profile(**json.loads(settings)), results).train(model, int(size), stage)
