# Every target sets up what it needs; a second run starts in seconds.
PYTHON  ?= python3
SEED    ?= 0
JOBS    ?= auto
VENV    := .venv
BIN     := $(VENV)/bin
SOURCES := $(wildcard csrc/*.cpp csrc/*.h csrc/isa/*) CMakeLists.txt pyproject.toml

.PHONY: help demo test test-model test-neon test-avxvnni test-avx512 lint lock clean
help: ## this list
	@grep -E '^[a-z0-9 -]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 28

$(VENV)/locked: requirements/dev.lock scripts/environment.sh
	@sh scripts/environment.sh $(PYTHON) $(VENV) requirements/dev.lock
	@touch $@

$(VENV)/peer: requirements/peer.lock $(VENV)/locked
	@echo "Building llama.cpp, the peer we compare with (some minutes, once) ..."
	@sh scripts/environment.sh $(PYTHON) $(VENV) requirements/peer.lock
	@touch $@

$(VENV)/built: $(VENV)/locked $(SOURCES)
	@echo "Building the kernels (a minute or two the first time) ..."
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

demo: $(VENV)/built ## a real local model repairs a real bug (SEED=0)
	@SEED=$(SEED) UNCONFINED=$(UNCONFINED) sh scripts/demo.sh

lint: $(VENV)/built ## ruff, mypy --strict, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint ## lint, then every test that needs no model, JOBS files at once (auto: one for each core)
	$(BIN)/pytest -n $(JOBS) --maxprocesses 8 --dist loadfile

test-model: $(VENV)/built $(VENV)/peer ## the tests that need the starter model and llama.cpp
	$(BIN)/inhouse pull starter
	$(BIN)/pytest -m model

test-neon: ## the ARM kernels, cross-compiled, under qemu (needs g++-aarch64-linux-gnu, qemu-user)
	sh scripts/test_neon.sh

test-avxvnni test-avx512: ## x86 kernels on a processor that lacks their instructions, which are emulated
	sh scripts/test_emulated.sh $(@:test-%=%)

lock: ## renew the locked requirements (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  pyproject.toml --extra dev requirements/build.in -o requirements/dev.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  pyproject.toml --extra dev --extra peer requirements/build.in -o requirements/peer.lock

clean: ## forget the environment and the build
	rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
