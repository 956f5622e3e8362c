# Two commands do everything on a fresh Debian 12: `make demo` and `make test`.
# Both install what is missing (see .ci/setup) and build first.

CARGO_FLAGS ?= --release
DEMO_DIR := target/demo
export PEERS ?= $(CURDIR)/../shared/peers

.PHONY: demo test bench setup build lint clean

demo: build
	.ci/demo $(DEMO_DIR)

test: setup
	.ci/test

# Einmesh beside NumPy, JAX and PyTorch: `make bench`, `make bench ONLY=einsum,forward`. PEERS is the folder
# with the peers' scripts, PEERS_VENV a virtual environment to use instead of making one.
bench: setup
	cargo build --locked --release -p einmesh-benches -p einmesh-cli
	@python="$$(benches/peers.sh)" && cd benches && "$$python" -m compare --only "$(ONLY)" $(BENCH_FLAGS)

build: setup
	cargo build --locked $(CARGO_FLAGS) -p einmesh-cli -p einmesh-exec -p einmesh-examples

lint: setup
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings

setup:
	@.ci/setup

clean:
	cargo clean
