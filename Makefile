# Lithe: `make book` and `make test` are the two commands; the rest is for those who build.
# Every path is relative, so that a folder with spaces in its name works.

PYTHON  ?= $(shell command -v python3.11 || command -v python3 || command -v python)
CHAPTER ?=
CORES   ?= 2
MINUTES ?= 5
VENV    := .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help book test lab refresh small drift clean lock lint

help:
	@echo "make book     set up, run every notebook at smoke, render the book into _build/html"
	@echo "make test     set up, run all tests and replay all notebooks"
	@echo "make lab      open the notebooks in JupyterLab"
	@echo "make refresh  re-execute the notebook pairs after an edit (CHAPTER=01_dcff for one)"
	@echo "make small    re-run the experiments behind the book's numbers (CHAPTER=01_dcff for one)"
	@echo "make drift    measure a sample of records again and compare (MINUTES=5 to spend)"
	@echo "make clean    remove what was built (the environment and the records stay)"

.venv/ready: requirements.lock pyproject.toml workflow/setup.sh
	@bash workflow/setup.sh "$(PYTHON)"

book: .venv/ready
	@$(VENV) -m lithe.book build

test: .venv/ready
	@$(VENV) -m pytest -q
	@$(VENV) -m lithe.notebooks nbval

lint: .venv/ready
	@$(VENV) -m ruff check .
	@$(VENV) -m ruff format --check .
	@$(VENV) -m codespell_lib
	@$(VENV) -m lithe.ledger check
	@$(VENV) -m lithe.book lint

lab: .venv/ready
	@$(VENV) -m jupyterlab notebooks

refresh: .venv/ready
	@$(VENV) -m lithe.notebooks refresh $(CHAPTER)
	@$(VENV) -m lithe.book readme

small: .venv/ready
	@$(VENV) -m lithe.workflow run $(CHAPTER) --cores $(CORES)

drift: .venv/ready
	@$(VENV) -m lithe.workflow drift $(CHAPTER) --cores $(CORES) --minutes $(MINUTES)

clean:
	rm -rf _build runs/scratch .pytest_cache .ruff_cache .hypothesis

lock:
	@bash workflow/lock.sh "$(PYTHON)"
