# `make book` and `make test` do all the set-up they need; `make help` lists the rest.

PYTHON ?= python3
PORT ?= 8000
BIN := .venv/bin
READY := .venv/.ready
COLAB := .venv-colab/.ready
PYTHON_IS_SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The chapters run in .venv, whatever the shell around has set.
export JUPYTER_PREFER_ENV_PATH := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYDEVD_DISABLE_FILE_VALIDATION := 1
# A page shows results, not progress bars.
export TQDM_DISABLE := 1
# Large blocks stay with a process of glibc, rather than come anew from the kernel, page by page.
export MALLOC_TOP_PAD_ := 268435456
export MALLOC_TRIM_THRESHOLD_ := 1073741824
export MALLOC_MMAP_THRESHOLD_ := 1073741824
unexport JUPYTER_PATH MPLBACKEND PYTHONHOME PYTHONPATH

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: book
book: $(READY) ## render the book into _build/html, executing what changed
	@$(BIN)/python tools/execution_cache.py
	@# Sphinx warns about a page only when it reads it: after a failure, let it read all pages again.
	$(BIN)/jupyter-book build . -W -n --keep-going || { rm -rf _build/.doctrees; exit 1; }

.PHONY: test
test: lint sync ## lint, types, notebooks in sync, then all tests, examples, chapters and rendered pages
	@# The rendered pages are tested too: those that are there, or new ones.
	@test -f _build/html/book/index.html || $(MAKE) book
	@# One thread each: two workers share the cores, and results do not depend on how many there are.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadscope

.PHONY: colab
colab: $(READY) $(COLAB) ## open every chapter as Colab does, beside Colab's own packages
	$(BIN)/python -m pip check
	$(BIN)/python tests/colab/emulate.py $(CHAPTERS)

.PHONY: lint
lint: $(READY) ## ruff, mypy, and the layers that imports must respect
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

.PHONY: format
format: $(READY) ## let ruff mend what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.PHONY: sync
sync: $(READY) ## check that every .ipynb is what its .md gives
	$(BIN)/python tools/notebooks.py --check

.PHONY: notebooks
notebooks: $(READY) ## regenerate every .ipynb from its .md and store its checked outputs
	$(BIN)/python tools/notebooks.py $(CHAPTERS)

.PHONY: opening
opening: $(READY) ## give every chapter the first cell, which sets a Colab runtime up
	$(BIN)/python tools/opening.py

.PHONY: repository
repository: $(READY) ## change the repository's address everywhere: make repository URL=https://...
	$(BIN)/python tools/opening.py --url "$(URL)"

.PHONY: serve
serve: book ## render the book and show it at http://localhost:8000
	$(BIN)/python -m http.server --bind localhost --directory _build/html $(PORT)

.PHONY: pdf
pdf: book ## print the whole book as one PDF into _build/gahb.pdf, with Chromium
	$(BIN)/python tools/pdf.py

.PHONY: picture
picture: $(READY) ## draw the picture of README.md from the shipped trainings
	$(BIN)/python tools/picture.py

.PHONY: kernel
kernel: $(READY) ## compile live/net.c, which networks in a page run on, to WebAssembly
	$(BIN)/python live/build.py

.PHONY: registry
registry: $(READY) ## write down the checksums of what is shipped, by which a wheel fetches it
	$(BIN)/python tools/registry.py

.PHONY: lock
lock: ## resolve requirements.txt afresh into requirements.lock (with an early Python 3.11)
	rm -rf _build/lock
	$(PYTHON) -m venv _build/lock
	_build/lock/bin/pip install --quiet torch==2.13.0 uv -r requirements.txt
	_build/lock/bin/python tools/lock.py

.PHONY: clean
clean: ## remove what was built; .venv stays
	rm -rf _build build dist gahb.egg-info .mypy_cache .pytest_cache .ruff_cache
	find gahb tests tools -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c '$(PYTHON_IS_SUPPORTED)' 2>/dev/null || { \
		echo "make: PYTHON: $(PYTHON) is not Python 3.11, 3.12 or 3.13; try: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
		echo "make: PYTHON: $(PYTHON) has no venv; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@{ $(BIN)/python -m pip --version && $(BIN)/python -c '$(PYTHON_IS_SUPPORTED)'; } >/dev/null 2>&1 \
		|| $(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet $$(grep ^torch== requirements.lock)
	grep -v ^torch== requirements.lock | $(BIN)/python -m pip install --quiet --no-deps --require-hashes -r /dev/stdin
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $@

$(COLAB): tests/colab/requirements.txt | $(READY)
	$(BIN)/python -m venv --clear .venv-colab
	.venv-colab/bin/python -m pip install --quiet -r tests/colab/requirements.txt
	@touch $@
