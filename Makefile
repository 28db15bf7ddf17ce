# make demo: a chat without a key, from nothing but Python 3.11 or later. The other targets: test, lab, bench, lock, clean.

PYTHON ?= python3
PYTEST ?= -n 2 --dist loadfile
LOCK ?=
LAB ?=
UV := $(shell command -v uv || echo .uv/bin/uv)
IN_VENV := VIRTUAL_ENV=.venv $(UV) pip

.PHONY: demo test lab bench lock clean
.DELETE_ON_ERROR:

demo: .venv/.demo
	.venv/bin/chatnb demo

# Arguments for pytest: make test PYTEST="tests/stores -x"
test: .venv/.test
	PATH="$(CURDIR)/.uv/bin:$$PATH" .venv/bin/python -m pytest $(PYTEST)

lab: .venv/.lab
	.venv/bin/python -m jupyterlab $(if $(filter 0,$(shell id -u)),--allow-root) --ServerApp.root_dir=notebooks $(LAB)

bench: .venv/.test
	.venv/bin/python -m benchmarks

# Newer versions: make lock LOCK=--upgrade
lock: | $(UV)
	$(UV) pip compile pyproject.toml --all-extras --group test --universal --python-version 3.11 --generate-hashes \
		--no-header --no-emit-index-url --no-emit-find-links --quiet $(LOCK) -o requirements.lock
	$(UV) pip compile pyproject.toml --extra plots --group lab --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --no-emit-index-url --no-emit-find-links --quiet \
		--constraint requirements.lock -o binder/requirements.txt

clean:
	rm -rf .venv .uv

# Each stamp stands for an environment with at least that group in it, as requirements.lock pins it.
.venv/.demo .venv/.lab: .venv/.%: requirements.lock pyproject.toml | .venv/bin/python
	$(IN_VENV) install --require-hashes --constraint requirements.lock --requirements pyproject.toml --group $*
	$(IN_VENV) install --no-deps --editable .
	touch $@

.venv/.test: requirements.lock pyproject.toml | .venv/bin/python
	$(IN_VENV) sync --require-hashes requirements.lock
	$(IN_VENV) install --no-deps --editable .
	touch .venv/.demo .venv/.lab $@

.venv/bin/python: | $(UV)
	$(UV) venv --clear --python $(PYTHON) .venv

.uv/bin/uv:
	$(PYTHON) -m venv .uv
	.uv/bin/python -m pip install --quiet uv
