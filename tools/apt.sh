# Debian's packages, for tools/setup and tools/debian13, which have set $root, $target and $codename.
# shellcheck shell=bash

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "$*"; exit 1; }

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		die "not root, and sudo was not found; run as root: $*"
	fi
}

updated=
update_lists() {
	[ -z "$updated" ] || return 0
	updated=yes
	say "reading Debian's package lists"
	as_root apt-get -qq update >"$target/apt.log" 2>&1 9>&- ||
		say "apt-get update failed, going on with the lists at hand (see target/apt.log)"
}

# Names of all installed packages, and of what they provide.
installed() {
	dpkg-query -W -f '${db:Status-Status}\t${Package}\t${Provides}\n' | awk -F '\t' '
		$1 == "installed" {
			print $2
			n = split($3, provided, /, */)
			for (i = 1; i <= n; i++) { sub(/ .*/, "", provided[i]); print provided[i] }
		}'
}

# Reads requirements, one in a line; "a | b" is met by either. Prints what is missing.
missing() {
	awk '
		NR == FNR { have[$1] = 1; next }
		NF {
			n = split($0, names, /[ \t]*\|[ \t]*/); met = 0
			for (i = 1; i <= n; i++) if (names[i] in have) met = 1
			if (!met) print names[1]
		}' <(installed) -
}

require() {
	local list wanted still policy=
	list=$(cat)
	wanted=$(missing <<<"$list" | sort -u | tr '\n' ' ')
	[ -n "$wanted" ] || return 0
	update_lists
	say "installing $wanted"
	# Installing a server package starts the server. This file prevents it.
	if [ ! -e /usr/sbin/policy-rc.d ]; then
		policy=/usr/sbin/policy-rc.d
		printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
		as_root chmod 755 "$policy"
	fi
	# shellcheck disable=SC2086
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install $wanted \
		>>"$target/apt.log" 2>&1 </dev/null 9>&- || true
	[ -z "$policy" ] || as_root rm -f "$policy"
	still=$(missing <<<"$list" | tr '\n' ' ')
	[ -z "$still" ] || die "could not install: $still(see target/apt.log)"
}

# The machine's own Debian sources, with other suites.
suite_sources() { # FOLDER SUITE…
	local dir=$1 file
	shift
	mkdir -p "$dir/sources" "$dir/lists/partial" "$dir/cache/archives/partial"
	: >"$dir/sources/suites.sources"
	: >"$dir/sources/suites.list"
	for file in /etc/apt/sources.list.d/*.sources; do
		[ -e "$file" ] || continue
		# Only the suite of a stanza changes: keys and options stay.
		awk -v suite="$codename" -v others="$*" '
			function flush() {
				if (wanted && main && types) printf "%s\n", text
				text = ""; wanted = main = types = 0
			}
			/^[ \t]*$/ { flush(); next }
			/^#/ { next }
			/^Types:/ { types = / deb( |$)/; print_line("Types: deb"); next }
			/^Suites:/ {
				for (i = 2; i <= NF; i++) if ($i == suite) wanted = 1
				print_line("Suites: " others); next
			}
			/^Components:/ {
				for (i = 2; i <= NF; i++) if ($i == "main") main = 1
				print_line("Components: main"); next
			}
			/^Enabled: *no/ { types = 0; wanted = -1 }
			{ print_line($0) }
			END { flush() }
			function print_line(line) { text = text line "\n" }
		' "$file" >>"$dir/sources/suites.sources"
	done
	for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
		[ -e "$file" ] || continue
		awk -v suite="$codename" -v others="$*" '
			$1 == "deb" {
				at = 2
				if ($2 ~ /^\[/) while (at <= NF && $(at++) !~ /\]$/);
				if ($(at + 1) != suite || $0 !~ / main( |$)/) next
				line = "deb"
				for (i = 2; i <= at; i++) line = line " " $i
				n = split(others, other, " ")
				for (i = 1; i <= n; i++) print line " " other[i] " main"
			}' "$file" >>"$dir/sources/suites.list"
	done
	[ -s "$dir/sources/suites.sources" ] || rm "$dir/sources/suites.sources"
	[ -s "$dir/sources/suites.list" ] || rm "$dir/sources/suites.list"
}

# Options for apt-get and apt-cache; empty for the machine's own sources.
apt_options=()
use_machine_sources() { apt_options=(-o "APT::Sandbox::User=$(id -un)"); }
use_suites() { # NAME SUITE…; lists and cache are kept under target/NAME
	local dir=$target/$1
	shift
	apt_options=(
		-o "APT::Sandbox::User=$(id -un)" # the folder is ours: the download user can't write there
		-o Dir::Etc::SourceList=/dev/null
		-o "Dir::Etc::SourceParts=$dir/sources"
		-o "Dir::State::Lists=$dir/lists"
		-o "Dir::Cache=$dir/cache"
		-o Acquire::Languages=none
	)
	rm -rf "$dir/sources"
	suite_sources "$dir" "$@"
	apt-get -qq "${apt_options[@]}" update >>"$target/apt.log" 2>&1 9>&-
}

# versions PACKAGE: what the sources in use offer, newest first.
versions() {
	apt-cache "${apt_options[@]}" madison "$1" 2>/dev/null | awk -F '|' '
		$3 ~ /Packages/ { gsub(/ /, "", $2); if (!seen[$2]++) print $2 }'
}
