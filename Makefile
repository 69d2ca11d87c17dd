# make app    everything from a fresh clone to the running app
# make test   everything that CI runs
PYTHON ?= python3
BIN    := .venv/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: app install gguf test test-install lint screenshots benchmarks clean

app: install .index/current
	$(BIN)/python app.py

install: .venv/.installed

.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "rl-copilot needs Python 3.11 or newer, and '$(PYTHON)' is $$($(PYTHON) -V 2>&1). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "Setting up .venv (torch, gymnasium, gradio, chroma, …): a few minutes the first time."
	@$(PYTHON) -m venv .venv || { echo "Python's venv module is missing. On Debian or Ubuntu: apt install python3-venv"; exit 1; }
	$(PIP) --upgrade pip
	$(PIP) -e .
	@touch $@

.index/current: .venv/.installed
	$(BIN)/python -m copilot index

# The GGUF answerer compiles llama.cpp: about four minutes on two cores.
gguf: .venv/.gguf

.venv/.gguf: .venv/.installed
	@command -v c++ >/dev/null || { echo "llama-cpp-python is compiled from source and no C++ compiler was found. On Debian or Ubuntu: apt install g++ cmake"; exit 1; }
	@echo "Compiling llama-cpp-python: about four minutes."
	$(PIP) -e '.[gguf]'
	@touch $@

test-install: .venv/.tests

.venv/.tests: .venv/.installed
	$(PIP) -e '.[dev]'
	@touch $@

# The last tests need the index: it is made beside the first.
test: test-install
	@$(MAKE) --no-print-directory gguf || [ -z "$$CI" ] || exit 1
	@command -v chromium chromium-browser google-chrome >/dev/null || { echo "Chromium was not found, so the browser tests are left out. On Debian or Ubuntu: apt install chromium"; [ -z "$$CI" ]; }
	$(MAKE) --no-print-directory lint
	@OMP_NUM_THREADS=1 $(BIN)/python -m copilot index & trap "kill $$! 2>/dev/null" EXIT INT TERM; \
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

lint:
	$(BIN)/ruff check .
	$(BIN)/mypy

screenshots: test-install
	$(BIN)/python tests/browser/screenshots.py docs-images

benchmarks: .venv/.installed
	$(PIP) -e '.[bench]'
	$(BIN)/python -m benchmarks

clean:
	rm -rf .venv .index .pytest_cache .mypy_cache .ruff_cache
