#!/usr/bin/env bash
# Build the image of a site. Docker and buildah both read provision/image/Dockerfile.
set -euo pipefail

usage() {
    cat <<'TEXT'
image/build.sh [OPTION ...]    builds consilium-site:VERSION from the release or the checkout that it lies in

  --cuda               PyTorch with CUDA (some GB more); default: PyTorch for CPUs
  --wheel FILE         a wheel of Consilium; default: the release's, or one built of the checkout (make install first)
  --tag NAME:TAG       default: consilium-site:VERSION, with -cuda appended for CUDA
  --base IMAGE         base with Python 3.11; default: the public python:3.11-slim-bookworm
  --debian-base        a base made from Debian's packages instead, where no image registry is reachable (root)
  --engine NAME        docker or buildah; default: docker where its daemon answers, else buildah
  --pip-conf FILE      pip's settings for a package mirror; a build secret, left in no layer
  --ca FILE            certificates of authorities that pip is to trust, for a proxy or mirror; likewise
  --torch-index URL    index of PyTorch's CPU wheels; empty: those that pip's settings lead to
  --volume DIR         a folder of this machine that the build may read, for wheels on a disk (buildah only)
  --extras NAMES       extras of the wheel, such as monitoring,he; default: monitoring

buildah builds without a daemon. Without user namespaces it needs root and BUILDAH_ISOLATION=chroot; where the
overlay file system is missing, STORAGE_DRIVER=vfs.
TEXT
}

here="$(cd "$(dirname "$0")" && pwd)"
if [ -f "$here/../constraints.txt" ]; then # a release: the wheel lies there too
    from="$(cd "$here/.." && pwd)"
else
    from="$(cd "$here/../.." && pwd)"
fi
accelerator=cpu wheel="" tag="" base="" engine="" pip_conf="" ca="" extras=""
torch_index=() volumes=()
while [ $# -gt 0 ]; do
    case "$1" in
        --cuda) accelerator=cuda ;;
        --wheel) wheel="$2"; shift ;;
        --tag) tag="$2"; shift ;;
        --base) base="$2"; shift ;;
        --debian-base) base=localhost/consilium-debian-base:bookworm ;;
        --engine) engine="$2"; shift ;;
        --pip-conf) pip_conf="$2"; shift ;;
        --ca) ca="$2"; shift ;;
        --torch-index) torch_index=(--build-arg "TORCH_INDEX=$2"); shift ;;
        --volume) volumes+=(--volume "$2:$2:ro"); shift ;;
        --extras) extras="$2"; shift ;;
        -h | --help) usage; exit 0 ;;
        *) echo "unknown option '$1'" >&2; usage >&2; exit 2 ;;
    esac
    shift
done

if [ -z "$engine" ]; then
    if docker info >/dev/null 2>&1; then engine=docker; else engine=buildah; fi
fi
command -v "$engine" >/dev/null || { echo "$engine is not installed: apt-get install buildah" >&2; exit 1; }

context="$(mktemp -d)"
trap 'rm -rf "$context"' EXIT
mkdir "$context/wheel" "$context/packages"
if [ -z "$wheel" ] && [ -f "$from/provision/wheel.sh" ]; then
    echo "Building the wheel ..."
    "$from/provision/wheel.sh" "$context/wheel" >"$context/log" 2>&1 || { tail -n 20 "$context/log" >&2; exit 1; }
    wheel="$(echo "$context"/wheel/consilium-*.whl)"
else
    wheel="${wheel:-$(echo "$from"/consilium-*.whl)}"
    cp "$wheel" "$context/wheel/"
fi
cp "$here/healthcheck.py" "$context/"
cp "$from/constraints.txt" "$context/packages/"
python3 - "$wheel" "${extras:-monitoring}" >"$context/packages/requirements.txt" <<'PYTHON'
"""Print what a wheel requires, with some of its extras, and what FLARE needs in Kubernetes."""
import re
import sys
import zipfile

wheel, extras = zipfile.ZipFile(sys.argv[1]), sys.argv[2].split(",")
(metadata,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
print("nvflare[k8s]")
for line in re.findall(r"^Requires-Dist: (.*)$", wheel.read(metadata).decode(), re.MULTILINE):
    requirement, _, marker = line.partition("; extra == ")
    if not marker or marker.strip("\"' ") in extras:
        print(requirement)
PYTHON
version="$(basename "$wheel" | cut -d- -f2)"
if [ -f "$here/REVISION" ]; then
    revision="$(cat "$here/REVISION")"
else
    revision="$(git -C "$from" rev-parse HEAD 2>/dev/null || echo unknown)"
    if [ "$revision" != unknown ] && [ -n "$(git -C "$from" status --porcelain)" ]; then
        revision="$revision-dirty"
    fi
fi
if [ -z "$tag" ]; then
    tag="consilium-site:$version"
    if [ "$accelerator" = cuda ]; then tag="$tag-cuda"; fi
fi

if [ "$base" = localhost/consilium-debian-base:bookworm ]; then
    "$here/debian_base.sh" "$base"
fi

arguments=(--file "$here/Dockerfile" --tag "$tag"
    --build-arg "ACCELERATOR=$accelerator"
    --build-arg "PACKAGES_DIGEST=$(cat "$context"/packages/* | sha256sum | cut -c1-16)"
    --build-arg "WHEEL_DIGEST=$(sha256sum <"$wheel" | cut -c1-16)" --build-arg "VERSION=$version" --build-arg "REVISION=$revision"
    ${base:+--build-arg "BASE=$base"} "${torch_index[@]}"
    ${pip_conf:+--secret "id=pip,src=$pip_conf"} ${ca:+--secret "id=ca,src=$ca"})
echo "Building $tag with $engine (PyTorch for $accelerator); some minutes, most of it packages ..."
if [ "$engine" = docker ]; then
    if [ ${#volumes[@]} -gt 0 ]; then
        echo "--volume is for buildah; with docker, let pip's settings name a server" >&2
        exit 2
    fi
    DOCKER_BUILDKIT=1 docker build "${arguments[@]}" "$context"
else
    # Docker's format, as OCI's has no health check.
    buildah bud --layers --format docker "${volumes[@]}" "${arguments[@]}" "$context"
fi
echo "Built $tag ($version, $revision)"
