#!/usr/bin/env bash
# Make a base image from Debian's packages, for machines that reach a Debian mirror and no image registry. As root.
#     provision/image/debian_base.sh [IMAGE]
# An image that is there already is kept; `buildah rmi IMAGE` has it made again. DEBIAN_MIRROR names another mirror.
set -euo pipefail
image="${1:-localhost/consilium-debian-base:bookworm}"
if buildah inspect --type image "$image" >/dev/null 2>&1; then
    echo "$image is there already"
    exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v debootstrap >/dev/null; then
    echo "a base image from Debian's packages needs root and debootstrap: apt-get install debootstrap" >&2
    exit 1
fi
echo "Making $image from Debian's packages; about two minutes ..."
work="$(mktemp -d)"
container=""
clean_up() {
    rm -rf "$work"
    if [ -n "$container" ]; then buildah rm "$container" >/dev/null; fi
}
trap clean_up EXIT
debootstrap --variant=minbase --include=ca-certificates,python3,python3-pip bookworm "$work/root" \
    "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" >"$work/log" 2>&1 ||
    { tail -n 20 "$work/log" >&2; exit 1; }
root="$work/root"
# As in the public Python image: python3 in /usr/local/bin, into which pip may install.
ln -s /usr/bin/python3 "$root/usr/local/bin/python3"
rm -f "$root"/usr/lib/python3*/EXTERNALLY-MANAGED
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root"/var/log/* "$root"/usr/share/{doc,man,locale,info}/*
# What debootstrap took over from this machine.
rm -f "$root/etc/hostname" "$root/etc/resolv.conf"
container="$(buildah from scratch)"
buildah add --quiet "$container" "$root" / >/dev/null
buildah config --cmd python3 --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
buildah commit --quiet --format docker "$container" "$image" >/dev/null
echo "Made $image"
