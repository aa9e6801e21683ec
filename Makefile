# Shoal's commands for people and for checks; docs/contract.md lists them.
# Works with GNU make from 3.81 on (the one that macOS ships).
#
#   make demo ARGS="--relays 12 --messages 20"
#   make venv PYTHON=python3.12

ARGS =
PYTHON =
PEERS = .venv-peers
export PYTHON

.PHONY: help venv demo lab test bench bench-peers check check-release changelog clean

help:
	@echo 'make demo           set up, then two people exchange messages through real relays'
	@echo 'make test           set up, then run the tests'
	@echo 'make lab            the demo network, kept up until Ctrl-C'
	@echo 'make bench          benchmarks, each beside its floor'
	@echo 'make bench-peers    the packet code beside other implementations'
	@echo 'make venv           set up alone'
	@echo 'make check          formatter, linter, types, import contracts'
	@echo 'make check-release  the long checks; writes docs/release-checks/'
	@echo 'ARGS="…" is passed on, for example: make demo ARGS="--relays 12"'

venv:
	@tools/setup-venv

demo: venv
	@.venv/bin/shoal demo $(ARGS)

lab: venv
	@.venv/bin/shoal lab $(ARGS)

bench: venv
	@.venv/bin/shoal bench $(ARGS)

test:
	@tools/setup-venv sim test
	@.venv/bin/python -m pytest -n auto --dist worksteal $(ARGS)

check:
	@tools/setup-venv browser check sim sim-cluster sim-fast test
	@tools/check-static

bench-peers: venv
	@tools/bench-peers $(PEERS) $(ARGS)

check-release:
	@tools/setup-venv sim
	@.venv/bin/python tools/check_release.py $(ARGS)

clean:
	rm -rf .venv $(PEERS) node/shoal_node/page node/web/node_modules build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
