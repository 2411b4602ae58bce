PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
# a file of tests in one process: its servers and cities are started once; three processes on two
# cores, as many tests wait for servers and cameras
SHARED := --numprocesses 3 --dist loadfile

.PHONY: setup demo test test-all lint docs bench clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Passerby needs Python 3.11 or newer") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all,dev]'
	@touch $(READY)

# `make demo` serves the page; `make demo CHECK=1` does the same headless and verifies the answer.
demo: $(READY)
ifdef CHECK
	$(BIN)/passerby demo --check $(ARGS)
else
	@trap : INT; $(BIN)/passerby demo $(ARGS) || exit $$(($$? == 130 ? 0 : $$?))  # Ctrl-C ends it
endif

test: $(READY)
	$(BIN)/pytest $(SHARED) -m 'not slow' $(ARGS)

test-all: $(READY)
	$(BIN)/pytest $(SHARED) $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/oxlint --quiet src/passerby/service/static/js

docs: $(READY)
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html

bench: $(READY)
	$(BIN)/passerby bench $(ARGS)

clean:
	rm -rf .demo docs/_build .pytest_cache .mypy_cache .ruff_cache
