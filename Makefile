# make quickstart   the main job on real data, ending with a printed report
# make test         the tests, on the backend that KERAS_BACKEND names (tensorflow by default)
# make zoo          models of KerasHub against NumPy; rewrites the table of docs/models.md
# make channels     what can be removed of models of Keras and KerasHub; rewrites docs/channels.md
# make compact      `compact` on models of Keras and KerasHub; rewrites docs/compact.md: hours
# make smallest     `compact` on the ten smallest of these models of Keras, on the three backends
# make docs         the site with the API reference, in site/; a warning ends it
# make check        all that .ci/run does
# make bench        the benchmarks on BACKENDS; rewrites the tables of benchmarks/RESULTS.md
# make peers        the accuracies of TFMOT, for benchmarks/accuracy.py

PYTHON ?= python3.11
KERAS_BACKEND ?= tensorflow
export KERAS_BACKEND
export TF_CPP_MIN_LOG_LEVEL ?= 3

BIN := .venv/bin
COMMA := ,
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: quickstart test doctest lint notebooks zoo channels compact smallest docs wheel check bench peers clean

quickstart: .venv/examples-$(KERAS_BACKEND)
	$(BIN)/python examples/quickstart.py

# A file's tests in one process: what they share is compiled once.
test: .venv/dev
	$(BIN)/python -m pytest -n 2 --dist loadfile -q

doctest: .venv/dev
	$(BIN)/python -m pytest -n 2 -q --doctest-modules keras_reg

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python tests/typed_examples.py

notebooks: .venv/dev
	$(BIN)/python -m pytest -n 2 -q -m notebook

zoo: .venv/dev
	PYTHONPATH=tests $(BIN)/python tests/zoo.py --write

channels: .venv/dev
	KERAS_BACKEND=jax PYTHONPATH=tests $(BIN)/python -W ignore tests/zoo_channels.py --write

compact: .venv/dev
	mkdir -p build
	KERAS_BACKEND=tensorflow PYTHONPATH=tests $(BIN)/python -W ignore tests/zoo_compact.py build/compact.jsonl
	for backend in tensorflow jax torch; do KERAS_BACKEND=$$backend PYTHONPATH=tests \
		$(BIN)/python -W ignore tests/zoo_compact.py build/compact.jsonl --single || exit 1; done
	KERAS_BACKEND=torch PYTHONPATH=tests $(BIN)/python -W ignore tests/zoo_compact.py build/compact.jsonl --hub --write

smallest: .venv/dev
	$(MAKE) -j2 smallest-jax smallest-tensorflow smallest-torch

# Two programs that run a few times are ready sooner if JAX does not optimize them.
smallest-%: .venv/dev
	mkdir -p build && rm -f build/smallest-$*.jsonl
	KERAS_BACKEND=$* JAX_DISABLE_MOST_OPTIMIZATIONS=1 OMP_NUM_THREADS=1 PYTHONPATH=tests \
		$(BIN)/python -W ignore tests/zoo_compact.py build/smallest-$*.jsonl --single

docs: .venv/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

wheel: .venv/dev
	rm -rf dist build
	$(BIN)/python -m build --wheel --outdir dist .
	$(BIN)/python tests/wheel_check.py dist

check:
	bash .ci/run

BACKENDS ?= jax tensorflow
BENCHMARKS := penalties proximal channel_steps dropout report compacted bandwidth end_to_end selection

bench: .venv/dev
	for backend in $(BACKENDS); do for name in $(BENCHMARKS); do \
		KERAS_BACKEND=$$backend BENCHMARK_RESULTS=1 $(BIN)/python benchmarks/$$name.py || exit 1; \
	done; done

# Peers that need an environment of their own: TFMOT goes with the Keras before Keras 3.
peers: .venv-peers
	.venv-peers/bin/python benchmarks/accuracy_tfmot.py

.venv-peers:
	$(PYTHON) -m venv $@
	$@/bin/python -m pip install --quiet --disable-pip-version-check tensorflow==2.19.1 \
		tf_keras==2.19.0 tensorflow-model-optimization==0.8.1 scikit-learn mlxtend mnist1d

clean:
	rm -rf .venv .venv-peers build dist site *.egg-info

.venv/bin/python:
	$(PYTHON) -m venv .venv

# PyTorch first and by version: left to itself pip takes a build of several gigabytes.
.venv/examples-%: setup.cfg pyproject.toml | .venv/bin/python
	$(if $(filter torch,$*),$(INSTALL) torch==2.13.0)
	$(INSTALL) -e '.[examples$(if $(filter jax torch,$*),$(COMMA)$*)]'
	touch $@

.venv/dev: setup.cfg pyproject.toml | .venv/bin/python
	$(INSTALL) torch==2.13.0
	$(INSTALL) -e '.[examples,jax,notebooks,plot,test,torch]'
	touch $@ $(foreach backend,tensorflow jax torch,.venv/examples-$(backend))

.venv/docs: setup.cfg | .venv/bin/python
	$(INSTALL) -e '.[docs]'
	touch $@
