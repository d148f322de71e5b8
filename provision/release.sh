#!/usr/bin/env bash
# Build what a federation is installed from into dist/consilium-VERSION: `make release`. It is all there in the
# end, or nothing. Before: the version in pyproject.toml, its entry in CHANGELOG.md, everything committed.
set -euo pipefail
cd "$(dirname "$0")/.."
python="${PYTHON:-.venv/bin/python}"
step() { printf '%(%H:%M:%S)T %s\n' -1 "$*" >&2; }
stop() { echo "release: $*" >&2; exit 1; }

version="$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)"
to="dist/consilium-$version"
git rev-parse --git-dir > /dev/null 2>&1 || stop "this is no git checkout, so nobody could say what was released"
[[ -z "$(git status --porcelain)" ]] || stop "there are changes that no commit holds (git status); commit them"
grep -Eq "^## \[${version//./\\.}\] - [0-9]{4}-[0-9]{2}-[0-9]{2}$" CHANGELOG.md ||
    stop "CHANGELOG.md has no entry '## [$version] - YYYY-MM-DD'; write it, or set another version in pyproject.toml"
! git rev-parse -q --verify "refs/tags/v$version" > /dev/null ||
    stop "tag v$version exists, and a version is released once; set another one in pyproject.toml"
[[ ! -e "$to" ]] || stop "$to exists, and is not replaced; remove it if it was a trial"
image_tags="$(grep -rhoE 'consilium-site:[0-9][^ ")]*' provision | sort -u)"
[[ "$image_tags" == "consilium-site:$version" ]] ||
    stop "provision/ names the image" $image_tags "; it has to be consilium-site:$version everywhere"

mkdir -p dist
unfinished="$(mktemp -d "$PWD/dist/.unfinished.XXXXXX")"
trap 'rm -rf "$unfinished"' EXIT
step "building the wheel"
PYTHON="$python" provision/wheel.sh "$unfinished/release" > "$unfinished/build.log" 2>&1 ||
    { cat "$unfinished/build.log" >&2; stop "the wheel could not be built"; }
cp -R constraints.txt provision/image CHANGELOG.md LICENSE "$unfinished/release"
step "building the documentation"
NO_MKDOCS_2_WARNING=1 "$python" -m mkdocs build --quiet --site-dir "$unfinished/release/docs" ||
    stop "the documentation could not be built"
mkdir "$unfinished/release/provision" # at the paths by which the documentation names them
cp -R provision/*.yml provision/runtime provision/monitoring "$unfinished/release/provision"
git rev-parse HEAD > "$unfinished/release/image/REVISION"
(cd "$unfinished/release" && find . -type f ! -name SHA256SUMS -printf '%P\n' | sort | xargs sha256sum > SHA256SUMS)

PYTHON="$python" provision/smoke.sh "$unfinished"/release/consilium-*.whl ||
    stop "the wheel does not work where nothing else is installed"

mv "$unfinished/release" "$to"
step "released to $to:"
cat "$to/SHA256SUMS"
echo "next: git tag -a v$version -m 'Consilium $version'; hand out $to; image: $to/image/build.sh" >&2
