# Every entry point of the project; `make help` lists them.

PYTHON  ?= $(shell for p in python3.11 python3.12 python3.13 python3; do command -v $$p && break; done)
PROFILE ?= demo
VENV    := .venv
BIN     := $(VENV)/bin
READY   := $(VENV)/.ready
RESULTS := results/$(PROFILE)
DONE    := $(RESULTS)/notebooks
# Folders of photographs instead of the profile's, and other settings: SET="seed=1 batch_size=8".
SETTINGS := $(if $(PLACES365),--set pretrain_photos=places365:$(abspath $(PLACES365)) --set test_photos=places365:$(abspath $(PLACES365))) \
            $(if $(COCO),--set finetune_photos=coco2014:$(abspath $(COCO))) \
            $(if $(PRETRAIN),--set pretrain_photos=$(abspath $(PRETRAIN))) \
            $(if $(FINETUNE),--set finetune_photos=$(abspath $(FINETUNE))) \
            $(if $(TEST),--set test_photos=$(abspath $(TEST))) \
            $(if $(RECIPE),--set recipe=$(RECIPE)) $(foreach setting,$(SET),--set $(setting))
CORE    := $(wildcard pconv_core/*.py) pconv_core/published.csv \
           pconv_core/profiles/__init__.py pconv_core/profiles/$(PROFILE).yaml
NAMES   := $(basename $(notdir $(wildcard notebooks/[0-9]*.ipynb)))
ifneq ($(PROFILE),demo)
# It is about the demo's scale; `make deviations PROFILE=...` trains them at another.
NAMES   := $(filter-out 08_deviations,$(NAMES))
endif
SCRATCH := $(CURDIR)/.scratch/nbval

.DELETE_ON_ERROR:
.PHONY: help install all notebooks deviations readme report bench stress test lint unit nbval lab clean distclean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## */\1\t/' | expand -t 12

all: $(NAMES:%=$(DONE)/%.ipynb)  ## run the study: every figure and table of PROFILE (demo)
ifeq ($(PROFILE),demo)
	@$(MAKE) --no-print-directory readme
endif

install: $(READY)  ## make .venv and install the tested versions of everything into it

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

# One notebook: staged, and published only when its last cell has run.
$(DONE)/%.ipynb: notebooks/%.ipynb $(CORE) | $(READY)
	$(BIN)/python -m pconv_core.pipeline run $< --profile $(PROFILE) $(if $(REFRESH),--refresh) $(SETTINGS)

# What a notebook reads of another: weights, logs or tables.
$(DONE)/03_pretrain_stage2.ipynb: $(DONE)/02_pretrain_stage1.ipynb
$(DONE)/04_finetune_coco.ipynb: $(DONE)/03_pretrain_stage2.ipynb
$(DONE)/05_size_study_224_vs_256.ipynb: $(DONE)/04_finetune_coco.ipynb
$(DONE)/06_loss_curves.ipynb: $(DONE)/05_size_study_224_vs_256.ipynb
$(DONE)/07_psnr_table.ipynb: $(DONE)/05_size_study_224_vs_256.ipynb
$(DONE)/08_deviations.ipynb: $(DONE)/06_loss_curves.ipynb $(DONE)/07_psnr_table.ipynb
$(DONE)/09_inpaint_a_photo.ipynb: $(DONE)/04_finetune_coco.ipynb $(wildcard pconv_core/shipped/*.safetensors)
ifeq ($(PROFILE),demo)
# What the two tell of other runs than their own.
$(DONE)/07_psnr_table.ipynb: $(wildcard results/demo/tables/08_deviation_runs.csv)
$(DONE)/07_psnr_table.ipynb $(DONE)/08_deviations.ipynb: $(wildcard results/photos-half/tables/*.csv results/photos-half/logs/*.csv)
endif

# It tells of all machines that were measured.
$(DONE)/10_benchmarks.ipynb: $(wildcard results/bench/*.csv results/bench/steps/*.csv)

notebooks:  ## run the study anew and store its outputs in notebooks/, results/ and the README
	@test $(PROFILE) = demo || { echo "error: notebooks/ holds the demo's outputs, not $(PROFILE)'s"; exit 2; }
	rm -rf $(DONE)
	$(MAKE) all REFRESH=1
	$(BIN)/python -m pconv_core.pipeline store

deviations: all  ## train every departure from the paper in full, half an hour: chapter 8's table
	rm -f $(DONE)/08_deviations.ipynb
	$(BIN)/python -m pconv_core.pipeline run notebooks/08_deviations.ipynb --profile $(PROFILE) --refresh --set deviations=full $(SETTINGS)

report: all  ## join PROFILE's executed notebooks into results/PROFILE/report.html
	$(BIN)/python -m pconv_core.pipeline report --profile $(PROFILE)

# What `make test` does in small: kills, malformed files (2,000 for each command), a large folder,
# a long training, a large photograph.
stress: $(READY)  ## the long tests in full: 20 kills, 4,000 malformed files, 200,000 photographs
	PCONV_KILLS=20 PCONV_FUZZ=2000 PCONV_FILES=200000 PCONV_LONG=2000 PCONV_MEGAPIXELS=12 $(BIN)/python -m pytest \
	    tests/test_resume.py tests/test_fuzz.py tests/test_listing.py tests/test_memory.py

bench: $(READY)  ## measure this machine: results/bench/MACHINE.csv and a figure, 20 minutes
	$(BIN)/python -m pconv_core bench

readme: $(READY)  ## write the tables and the summary into the README
	$(BIN)/python -m pconv_core.pipeline readme

test: lint unit nbval  ## everything that must hold: lint, tests, notebooks against their outputs

lint: $(READY)  ## ruff, on code and notebooks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

unit: $(READY)  ## pytest on tests/
	$(BIN)/python -m pytest tests

nbval: $(READY)  ## run the notebooks again and compare with their stored outputs
	rm -rf $(SCRATCH)
	PCONV_OUTPUT=$(SCRATCH) $(BIN)/python -m pytest --nbval --nbval-current-env -p no:cacheprovider notebooks

lab: $(READY)  ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab --notebook-dir=notebooks

clean:  ## remove what PROFILE's runs leave and git does not keep (weights, executed copies, caches)
	rm -rf $(addprefix $(RESULTS)/,notebooks checkpoints unfinished .staging failed report.html)
	rm -rf .scratch .pytest_cache .ruff_cache .hypothesis

distclean: clean  ## the environment too
	rm -rf $(VENV)
