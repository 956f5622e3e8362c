# Two commands do everything on a fresh Debian 12: `make demo` and `make test`.
# Both install what is missing (see .ci/setup) and build first.

CARGO_FLAGS ?= --release
DEMO_DIR := target/demo

.PHONY: demo test bench setup build lint clean

demo: build
	.ci/demo $(DEMO_DIR)

test: setup
	.ci/test

bench: build
	cargo bench -p einmesh-benches

build: setup
	cargo build --locked $(CARGO_FLAGS) -p einmesh-cli -p einmesh-exec -p einmesh-examples

lint: setup
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings

setup:
	@.ci/setup

clean:
	cargo clean
