#!/bin/sh
# Makes the virtual environment of `make bench` and prints its Python: NumPy, JAX and PyTorch in
# target/peers-venv, with the versions of $PEERS/requirements.txt. Needs gcc and the network, once.
#
#   PEERS       the folder with the peers' scripts [../shared/peers]
#   PEERS_VENV  an environment that is there already; nothing is installed into it
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
peers=${PEERS:-$root/../shared/peers}
if [ -n "${PEERS_VENV:-}" ]; then
    [ -x "$PEERS_VENV/bin/python" ] || { echo "PEERS_VENV=$PEERS_VENV has no bin/python" >&2; exit 1; }
    echo "$PEERS_VENV/bin/python"
    exit
fi
venv=$root/target/peers-venv
if [ ! -e "$venv/complete" ]; then
    [ -r "$peers/requirements.txt" ] || {
        echo "there is no $peers/requirements.txt: say where the peers are with PEERS=/path" >&2; exit 1; }
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet -r "$peers/requirements.txt" >&2
    "$venv/bin/pip" install --quiet --no-deps -r "$peers/requirements-nodeps.txt" >&2
    "$venv/bin/python" "$peers/torch_cpu_stubs.py" >&2
    touch "$venv/complete"
fi
echo "$venv/bin/python"
