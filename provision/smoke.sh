#!/usr/bin/env bash
# Install a wheel into an empty environment and work with it outside of the checkout: `make smoke`. The synthetic
# patients come from the environment of development, as their anatomy is an extra that the wheel works without.
# Takes the wheel; without one, it builds it from the working tree.
set -euo pipefail
cd "$(dirname "$0")/.."
root="$PWD"
export PYTHON="${PYTHON:-$root/.venv/bin/python}"
step() { printf '%(%H:%M:%S)T smoke: %s\n' -1 "$*" >&2; }
stop() { echo "smoke: $*" >&2; exit 1; }

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
if [[ $# -gt 0 ]]; then
    wheel="$(realpath "$1")"
else
    step "building the wheel"
    provision/wheel.sh "$work/dist" > "$work/build.log" 2>&1 || { cat "$work/build.log" >&2; exit 1; }
    wheel="$(echo "$work"/dist/consilium-*.whl)"
fi

step "installing it into an empty environment, some minutes"
"$PYTHON" -m venv "$work/venv"
"$work/venv/bin/pip" install --disable-pip-version-check --no-input --progress-bar off -c constraints.txt "$wheel" \
    > "$work/install.log" 2>&1 || { tail -n 20 "$work/install.log" >&2; stop "the wheel can't be installed"; }

step "making two synthetic hospitals"
"$(dirname "$PYTHON")/consilium" cohort "$work/hospitals" --set spacing=4 --set size=38x48x38 \
    --set hospitals.north=brats2021:3 --set hospitals.south=decathlon:3 > "$work/cohort.log" 2>&1 ||
    { cat "$work/cohort.log" >&2; exit 1; }

mkdir "$work/elsewhere"
cd "$work/elsewhere"
unset PYTHONPATH
consilium="$work/venv/bin/consilium"
python="$work/venv/bin/python"

step "commands"
"$python" -c "import consilium, sys; sys.exit(sys.prefix not in consilium.__file__)" ||
    stop "the environment imports consilium from somewhere else"
! "$python" -c "import nilearn" 2> "$work/nilearn.log" || stop "the extra 'cohort' is installed without being asked for"
version="$("$python" -c "import consilium; print(consilium.__version__)")"
"$consilium" --version | grep -Fx "consilium $version" > "$work/version.log" || stop "--version says another one"
"$consilium" --help > "$work/help.log"
"$consilium" jobs list > "$work/list.log"
"$consilium" jobs export --to jobs > "$work/export.log"
diff -r "$root/jobs" jobs >&2 || stop "it writes other jobs than those in jobs/; run make jobs"
"$consilium" check "$work/hospitals/north" > "$work/check.log" 2>&1 ||
    { cat "$work/check.log" >&2; stop "check fails"; }

step "a job of one round at two hospitals"
"$consilium" jobs export brain_tumor_fedavg --to small --set rounds=1 --set learning.local_steps=2 \
    --set 'learning.patch_voxels=[32, 32, 32]' --set learning.spacing_mm=4.0 > "$work/small.log"
"$consilium" simulate small/brain_tumor_fedavg --site north="$work/hospitals/north" \
    --site south="$work/hospitals/south" --min-patients 1 --out run > "$work/run.log" 2>&1 ||
    { tail -n 40 "$work/run.log" >&2; stop "the job failed"; }
"$python" - run/report <<'PY' || stop "the report lacks something"
import json, pathlib, sys

folder = pathlib.Path(sys.argv[1])
report = json.loads((folder / "report.json").read_text())
assert report["outcome"] == "success", report["outcome"]
assert "<style>" in (folder / "index.html").read_text(), "index.html"
assert len(list(folder.glob("patient_*.png"))) == 2, "pictures"
PY
step "the wheel works where nothing else is installed"
