# Every target sets up what it needs; a second run starts in seconds.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
SOURCES := $(wildcard csrc/*.cpp csrc/*.h csrc/isa/*) CMakeLists.txt pyproject.toml

.PHONY: help demo test test-model lint bench lock clean
help: ## This list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/locked: requirements/dev.lock
	@sh scripts/environment.sh $(PYTHON) $(VENV)
	@touch $@

$(VENV)/built: $(VENV)/locked $(SOURCES)
	@echo "Building the kernels (a minute or two the first time) ..."
	@$(BIN)/python -m pip install -q --no-build-isolation --no-deps -e .
	@touch $@
