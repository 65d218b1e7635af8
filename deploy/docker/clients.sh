#!/bin/sh
# Collects what pgmove needs beside itself into /rootfs: pg_dump of several majors with the libraries
# that they load, the authorities for TLS, a user. The Dockerfile runs it in Debian.
#
#   PG_MAJORS  the majors, such as "15 16 17 18"
#   PGDG       yes: from PostgreSQL's own packages, which have several majors at a time; no: from Debian's
set -eu
: "${PG_MAJORS:?}" "${PGDG:=yes}"
root=${ROOTFS:-/rootfs}

export DEBIAN_FRONTEND=noninteractive
apt-get -q update
apt-get -q install -y --no-install-recommends ca-certificates
if [ "$PGDG" = yes ]; then
	# Debian's package brings PostgreSQL's key and the script that adds its packages.
	apt-get -q install -y --no-install-recommends postgresql-common
	/usr/share/postgresql-common/pgdg/apt.postgresql.org.sh -y
fi
packages=
for major in $PG_MAJORS; do
	packages="$packages postgresql-client-$major"
done
# shellcheck disable=SC2086 # a list of names
apt-get -q install -y --no-install-recommends $packages

# libraries prints the files that a program loads, its loader too.
libraries() {
	ldd "$1" | awk '$2 == "=>" && $3 ~ /^\// { print $3 } $1 ~ /^\// { print $1 }'
}

mkdir -p "$root/etc/ssl/certs" "$root/usr/lib/ssl" "$root/home/pgmove" "$root/tmp" "$root/archive"
for major in $PG_MAJORS; do
	program=/usr/lib/postgresql/$major/bin/pg_dump
	cp -L --parents "$program" "$root"
	for file in $(libraries "$program"); do
		[ -e "$root$file" ] || cp -L --parents "$file" "$root"
	done
done
cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
cp -L /etc/ssl/openssl.cnf "$root/usr/lib/ssl/"
printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
printf 'root:x:0:0:root:/:/none\npgmove:x:65532:65532:pgmove:/home/pgmove:/none\n' >"$root/etc/passwd"
printf 'root:x:0:\npgmove:x:65532:\n' >"$root/etc/group"
chown 65532:65532 "$root/home/pgmove" "$root/archive"
chmod 1777 "$root/tmp"

# What was collected must be enough: each pg_dump has to start in there.
for major in $PG_MAJORS; do
	chroot "$root" "/usr/lib/postgresql/$major/bin/pg_dump" --version
done
