#!/usr/bin/env bash
# Build the wheel of the working tree into a folder: `make wheel`. The same files give the same wheel: times,
# modes and the build tools are fixed. What follows the folder goes to `python -m build`.
set -euo pipefail
to="${1:?folder for the wheel}"
shift
mkdir -p "$to"
to="$(cd "$to" && pwd)"
cd "$(dirname "$0")/.."
copy="$(mktemp -d)"
trap 'rm -rf "$copy"' EXIT
cp -R custom pyproject.toml README.md LICENSE "$copy"
find "$copy" -depth \( -name __pycache__ -o -name '*.egg-info' \) -exec rm -rf {} +
chmod -R u=rwX,go=rX "$copy"
umask 022
export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 315532800)}"
export PIP_CONSTRAINT="$PWD/constraints.txt"
"${PYTHON:-.venv/bin/python}" -m build --wheel --outdir "$to" "$@" "$copy"
