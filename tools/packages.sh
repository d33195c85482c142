#!/usr/bin/env bash
# Installs the Debian packages that a purpose needs and that are not there yet.
#   tools/packages.sh build   what belfry is compiled and run with
#   tools/packages.sh test    that, and what the tests look at it with
set -euo pipefail

build=(gcc pkg-config libavcodec-dev libavutil-dev libswresample-dev libyuv-dev libopus-dev)
test=(awscli chromium curl ffmpeg firefox-esr fonts-dejavu-core iproute2 nftables protobuf-compiler)

case "${1:-}" in
build) wanted=("${build[@]}") ;;
test) wanted=("${build[@]}" "${test[@]}") ;;
*)
	echo "usage: tools/packages.sh build|test" >&2
	exit 2
	;;
esac

missing=()
for package in "${wanted[@]}"; do
	dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
((${#missing[@]})) || exit 0

echo "== installing ${missing[*]}"
if ((EUID != 0)); then
	echo "This needs root. Run: sudo apt-get install ${missing[*]}" >&2
	exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -qy --no-install-recommends "${missing[@]}"
