#!/usr/bin/env bash
# Builds dist/: for each platform an archive with the static binary, the manual page, the completions, README and LICENSE;
# then the checksums. The same commit gives the same files. `make release` calls it with what it needs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
: "${GO:=go}" "${LDFLAGS:?}" "${VERSION:?}" "${DATE:=}"
(($#)) || { echo "usage: ${0##*/} OS/ARCH..." >&2; exit 2; }

version=${VERSION//\//-}
rm -rf dist
mkdir -p dist/common/completions
$GO run ./cmd/pgmove man >dist/common/pgmove.1
for shell in bash zsh fish; do
	$GO run ./cmd/pgmove completion "$shell" >"dist/common/completions/pgmove.$shell"
done
cp README.md LICENSE CHANGELOG.md dist/common/
for platform in "$@"; do
	os=${platform%/*} arch=${platform#*/}
	name=pgmove_${version}_${os}_$arch
	mkdir "dist/$name"
	cp -R dist/common/. "dist/$name/"
	CGO_ENABLED=0 GOOS=$os GOARCH=$arch $GO build -trimpath -ldflags "$LDFLAGS" -o "dist/$name/pgmove" ./cmd/pgmove
	# In a fixed order, with the commit's time and no user's name.
	tar -C dist --sort=name --owner=0 --group=0 --numeric-owner --mtime="${DATE:-@0}" -cf - "$name" | gzip -n9 >"dist/$name.tar.gz"
	rm -r "dist/${name:?}"
	echo "dist/$name.tar.gz"
done
rm -r dist/common
cd dist
sha256sum ./*.tar.gz | sed 's# \./# #' >SHA256SUMS
echo dist/SHA256SUMS
