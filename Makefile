# Every entry point of the project; `make help` lists them.

PYTHON  ?= $(shell for p in python3.11 python3.12 python3.13 python3; do command -v $$p && break; done)
VENV    := .venv
BIN     := $(VENV)/bin
READY   := $(VENV)/.ready
PROFILE ?= demo
# A run of other settings: make all SET="stages.stage1.samples=6400 random_seed=1" NAME=mine
SETTINGS = --profile $(PROFILE) $(if $(NAME),--set name=$(NAME)) $(addprefix --set ,$(SET) $(ROOTS))
# Where photographs are that a profile or an experiment calls by these names.
ROOTS    = $(if $(PLACES365),roots.places365=places365:$(abspath $(PLACES365))) \
           $(if $(COCO),roots.coco=coco2014:$(abspath $(COCO))) \
           $(if $(SCENES),roots.scenes=$(abspath $(SCENES))) $(if $(BSDS),roots.bsds=$(abspath $(BSDS)))
JOBS     ?= 2
EXPERIMENT = $(BIN)/python -m pconv_study.experiment $(NAME) $(if $(ON),--on $(ON)) $(patsubst roots.%,--photos %,$(ROOTS))
CHAPTERS := $(sort $(basename $(notdir $(wildcard notebooks/[0-9]*.ipynb))))
SCRATCH  := $(CURDIR)/.scratch/nbval
# As pconv_core sets it, for what imports torch before: waiting threads sleep.
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: none help install all notebooks experiment tables report bench test lint unit nbval stress lab \
        clean distclean $(CHAPTERS)

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## */\1\t/' | expand -t 12

install: $(READY)  ## make .venv and install the tested versions of everything into it

$(READY): pyproject.toml constraints.txt trained.txt
	@echo "installing into $(VENV): minutes, about 6 GB"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,onnx,texture]'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r trained.txt
	@touch $@

# Begun in order, JOBS side by side, which share the cores; the chapter that takes times runs alone.
all: | $(READY)  ## run every chapter with PROFILE (demo), compare with results/reference: results/NAME
	@OMP_NUM_THREADS=$$(( ($$(getconf _NPROCESSORS_ONLN) + $(JOBS) - 1) / $(JOBS) )) \
	    $(MAKE) --no-print-directory -Oline -j $(JOBS) $(filter-out 10_%,$(CHAPTERS))
	@$(MAKE) --no-print-directory $(filter 10_%,$(CHAPTERS))

# What must be trained its settings decide, so a chapter runs whenever it is asked for.
$(CHAPTERS): %: notebooks/%.ipynb | $(READY)
	@$(BIN)/python -m pconv_study.pipeline run $< $(SETTINGS)

notebooks: SET += compare=false
notebooks: $(CHAPTERS)  ## run every chapter anew and make that the committed state of PROFILE
	@$(BIN)/python -m pconv_study.pipeline store --profile $(PROFILE)

experiment: | $(READY)  ## train and measure experiments/NAME.yaml: SCENES=DIR BSDS=DIR [LIST=1] [ON=test] [JOBS=2]
	@$(EXPERIMENT)
	@$(if $(LIST),,$(MAKE) --no-print-directory -k -Oline -j $(JOBS) none $$($(EXPERIMENT) --left | sed 's/^/cell-/'))

# A cell a process of one thread: side by side they are quickest so.  SIGTERM and Ctrl-C reach them.
cell-%:
	@echo "begun: $*"
	@OMP_NUM_THREADS=1 TQDM_DISABLE=1 exec $(EXPERIMENT) --cell $*

none:
	@:

tables: | $(READY)  ## make the tables of experiments/NAME.yaml from the rows that it left
	@$(BIN)/python -m pconv_study.tables $(NAME)

report: all  ## join the chapters of PROFILE into one page without network: results/NAME/report.html
	@$(BIN)/python -m pconv_study.pipeline report $(SETTINGS)

bench: | $(READY)  ## measure this machine, minutes: results/bench
	@$(BIN)/python -m pconv_study.bench

test: lint unit nbval  ## everything that must hold: lint, tests, notebooks against their outputs

lint: | $(READY)  ## ruff, on code and notebooks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

unit: | $(READY)  ## pytest on tests/, a process a core, one thread each
	$(BIN)/python -m pytest -n auto --dist worksteal tests

nbval: | $(READY)  ## run the notebooks anew, a process a core, and compare with their stored outputs
	rm -rf $(SCRATCH)
	OMP_NUM_THREADS=1 TQDM_DISABLE=1 PCONV_RESULTS=$(SCRATCH) $(BIN)/python -m pytest -n auto \
	    --dist loadfile --nbval --nbval-current-env -p no:cacheprovider notebooks

# Kills, notices to groups of processes, malformed files, kinds of TIFF, a large folder, a long
# training, large photographs, ONNX of the shipped network, the canvas in a browser (extras paint and
# browser): each test that looks for such a number, with it at its full.
stress: $(READY)  ## the long tests: 20 kills a signal, 4,000 malformed files, 200,000 photographs
	PCONV_KILLS=20 PCONV_FUZZ=2000 PCONV_WAYS=96 PCONV_FILES=200000 PCONV_LONG=2000 PCONV_MEGAPIXELS=12 \
	    PCONV_STRESS=1 PCONV_BROWSER=$(or $(CHROMIUM),chromium) $(BIN)/python -m pytest \
	    $$(grep -rlE 'environ.get\("PCONV_' --include='test_*.py' tests)

lab: | $(READY)  ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab --notebook-dir=notebooks

clean:  ## remove results/NAME (or PROFILE) and caches; what was trained stays, in results/states
	rm -rf results/$(or $(NAME),$(PROFILE)) .scratch .pytest_cache .ruff_cache .hypothesis

distclean: clean  ## the environment too
	rm -rf $(VENV)
