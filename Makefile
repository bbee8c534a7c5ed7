# What one does with a checkout. Nothing is installed but Debian packages and what is in .venv.
#
# Each step is done once: stamps in .venv tell, and a second run is quick.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# The agent runs on this Python (3.10 or later); the loader always on the distribution's.
PYTHON ?= /usr/bin/python3
BIN := .venv/bin
ANSIBLE_BIN := .venv-ansible/bin
SCENARIOS ?= default direct offline upgrade uninstall
STAMPS := .venv/.stamps

RUN_PACKAGES := python3-bpfcc python3-venv
DEMO_PACKAGES := nginx-light
REPO_PACKAGES := apt-utils createrepo-c gpg rpm
PACKAGES_TEST_PACKAGES := $(REPO_PACKAGES) buildah fish lintian man-db mmdebstrap openssl rpmlint \
	systemd-container zsh
TEST_PACKAGES := apache2 curl gcc gunicorn libc6-dev nginx-light nodejs openjdk-17-jdk-headless \
	prometheus procps util-linux wrk
MOLECULE_PACKAGES := $(REPO_PACKAGES) dpkg iproute2 mmdebstrap openssh-client systemd-container util-linux
VM_PACKAGES := busybox-static cpio e2fsprogs gcc kmod libc6-dev lz4 mmdebstrap qemu-system-x86 zstd

PORT ?=
KEY ?=
SECONDS_SHOWN ?= 10
PYTEST_ARGS ?=
BENCH_ARGS ?=

.PHONY: help setup setup-test demo test package repo test-packages setup-ansible lint-ansible sanity-ansible molecule lint format generate check-generated bench bench-compare vm clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 18

setup: $(STAMPS)/setup ## Prepare the checkout: packages, .venv; then .venv/bin/otelauto works

setup-test: $(STAMPS)/setup-test ## Install the servers and tools that the tests use

demo: $(STAMPS)/demo ## Show it: a live table of a small application, or of PORT=n on this host
	@$(BIN)/python -m tests.demo.demo --seconds $(SECONDS_SHOWN) $(if $(PORT),--port $(PORT))

test: $(STAMPS)/setup $(STAMPS)/setup-test $(STAMPS)/setup-ansible $(STAMPS)/setup-test-packages ## Run all tests (those with eBPF need root)
	@$(BIN)/pytest $(PYTEST_ARGS)

package: $(STAMPS)/setup ## Build dist/: .deb, .rpm, checksums and bills of materials
	@$(BIN)/python packaging/tools/package.py

repo: $(STAMPS)/setup $(STAMPS)/repo ## Make dist/repository of dist/: apt and yum, signed with KEY=file or id
	@[ -n "$(KEY)" ] || { echo "make repo KEY=... (a file with a secret GPG key, or the id of one)" >&2; exit 1; }
	@$(BIN)/python packaging/tools/repository.py --key "$(KEY)"

test-packages: $(STAMPS)/setup $(STAMPS)/setup-test-packages ## Run the tests of the packages alone (root; hosts are booted)
	@$(BIN)/pytest tests/packages $(PYTEST_ARGS)

setup-ansible: $(STAMPS)/setup-ansible ## Prepare .venv-ansible: Ansible, its linters and molecule

lint-ansible: $(STAMPS)/setup-ansible ## Check the collection (ansible-lint, profile production; yamllint)
	@cd ansible && PATH="$(CURDIR)/$(ANSIBLE_BIN):$$PATH" ansible-lint --config-file .ansible-lint -q
	@cd ansible && ../$(ANSIBLE_BIN)/yamllint --strict --config-file .yamllint.yml .
	@$(BIN)/python ansible/tools/generate.py --check

# ansible-test wants a repository of its own, below a folder of collections.
sanity-ansible: SANITY := build/sanity/ansible_collections/otelauto/fleet
sanity-ansible: $(STAMPS)/setup-ansible ## Check the collection with ansible-test sanity
	@rm -rf build/sanity && mkdir -p $(dir $(SANITY)) && cp -r ansible $(SANITY) && rm -rf $(SANITY)/collections
	@git init -q $(SANITY) && git -C $(SANITY) add -A
	@cd $(SANITY) && PATH="$(CURDIR)/$(ANSIBLE_BIN):$$PATH" ansible-test sanity --color no

# Hosts are booted (systemd-nspawn, root) with the package of this tree. However a scenario ends, its
# hosts and its network are taken away.
molecule: $(STAMPS)/setup $(STAMPS)/setup-ansible $(STAMPS)/setup-molecule ## Run the scenarios of the collection on real hosts (root)
	@$(MAKE) --no-print-directory package
	@down() { for scenario in $(SCENARIOS); do $(PYTHON) molecule/shared/machines.py down otelauto-$$scenario; done; }; \
	trap down EXIT; trap 'exit 130' INT TERM HUP; \
	for scenario in $(SCENARIOS); do PATH="$(CURDIR)/$(ANSIBLE_BIN):$$PATH" molecule test -s $$scenario; done

lint: $(STAMPS)/setup $(STAMPS)/setup-test ## Check style, types, the C contract and the sources' manners
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@gcc -std=gnu11 -Wall -Wextra -Wpadded -Werror -fsyntax-only tests/bpf/abi_host.c
	@gcc -std=gnu11 -O2 -Wall -Wextra -Werror -fsyntax-only tests/load/loadgen.c
	@bash -n .ci/run packaging/tools/apt-install
	@packaging/tools/check-manners

format: $(STAMPS)/setup ## Put the sources into the one format
	@$(BIN)/ruff check --quiet --fix . || true
	@$(BIN)/ruff format .

generate: $(STAMPS)/setup ## Write the generated files again
	@$(BIN)/python packaging/tools/generate.py
	@$(BIN)/python ansible/tools/generate.py

check-generated: $(STAMPS)/setup ## Fail if a generated file differs from what its source gives
	@$(BIN)/python packaging/tools/generate.py --check
	@$(BIN)/python ansible/tools/generate.py --check

bench: $(STAMPS)/setup $(STAMPS)/setup-test ## Measure the cost and the exactness (root; about 4 minutes)
	@$(BIN)/python -m tests.bench.bench $(BENCH_ARGS)

bench-compare: $(STAMPS)/setup $(STAMPS)/setup-test ## Compare the cost with the OpenTelemetry SDK's (root; about 3 minutes)
	@$(BIN)/python -m tests.bench.compare $(BENCH_ARGS)

vm: $(STAMPS)/setup $(STAMPS)/setup-vm ## Prove it on the kernels 5.10, 6.1 and 6.12 in emulated machines (root)
	@OTELAUTO_REQUIRE=vm $(BIN)/pytest tests/vm $(PYTEST_ARGS)

clean: ## Remove all that was built here, .venv too
	rm -rf .venv .venv-ansible build dist .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMPS)/setup: pyproject.toml packaging/tools/apt-install
	@packaging/tools/apt-install $(RUN_PACKAGES)
	@$(PYTHON) -c 'import sys; v = sys.version_info; \
	v >= (3, 10) or sys.exit(f"otelauto needs Python 3.10 or later; {sys.executable} is {v.major}.{v.minor} (make setup PYTHON=...)")'
	@[ -x $(BIN)/pip ] || $(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-input -e '.[dev]'
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/setup-ansible: ansible/tools/requirements.txt $(STAMPS)/setup
	@[ -x $(ANSIBLE_BIN)/pip ] || $(PYTHON) -m venv .venv-ansible
	@$(ANSIBLE_BIN)/pip install --quiet --disable-pip-version-check --no-input \
		--requirement ansible/tools/requirements.txt
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/setup-test: packaging/tools/apt-install Makefile
	@packaging/tools/apt-install $(TEST_PACKAGES)
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/setup-test-packages: packaging/tools/apt-install Makefile
	@packaging/tools/apt-install $(PACKAGES_TEST_PACKAGES)
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/setup-molecule: packaging/tools/apt-install Makefile
	@packaging/tools/apt-install $(MOLECULE_PACKAGES)
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/repo: $(STAMPS)/setup packaging/tools/apt-install
	@packaging/tools/apt-install $(REPO_PACKAGES)
	@touch $@

$(STAMPS)/setup-vm: packaging/tools/apt-install Makefile
	@packaging/tools/apt-install $(VM_PACKAGES)
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/demo: $(STAMPS)/setup packaging/tools/apt-install
	@packaging/tools/apt-install $(DEMO_PACKAGES)
	@touch $@
