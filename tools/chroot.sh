# Chroots of Debian under target/, for tools/debian13 and tools/packages, which have sourced tools/apt.sh and set $root, $target,
# $codename, $release and $suite (the Debian in the chroot) and $place (the folder of the chroot).
#
# /proc and /dev are mounted in a mount namespace of its own: they are gone when the command ends, however it ends, and
# no other process, such as one that removes target/, ever sees them.
# shellcheck shell=bash disable=SC2154

chroot=$place/root
log=$place/log
pristine=$target/chroots/$suite.tar

cannot() {
	say "skipped: no Debian $release here: $*"
	echo "Debian $release: skipped: $*" >"$place/summary"
	exit 77
}

remove() {
	! grep -qF " $place/" /proc/self/mounts || die "something is mounted below $place: unmount it first"
	[ ! -e "$chroot" ] && [ ! -e "$chroot.new" ] || as_root rm -rf --one-file-system "$chroot" "$chroot.new"
}

mirror() { # of the machine's own sources
	local dir=$place/apt
	suite_sources "$dir" "$suite"
	cat "$dir"/sources/suites.* 2>/dev/null | awk '
		$1 == "URIs:" { print $2; exit }
		$1 == "deb" { for (i = 2; i <= NF; i++) if ($i ~ /^[a-z+]+:/) { print $i; exit } }'
	rm -rf "$dir"
}

# Settings of the machine that downloads need.
proxies() { apt-config dump | grep -i '^Acquire::.*Proxy' || true; }

make_chroot() {
	local from http_proxy_of_apt=
	[ ! -e "$chroot/.made" ] || return 0
	[ "$(id -u)" = 0 ] || command -v sudo >/dev/null || cannot "this needs root"
	if ! command -v debootstrap >/dev/null && ! [ -x /usr/sbin/debootstrap ]; then
		command -v apt-get >/dev/null || cannot "debootstrap is not installed"
		(require <<<debootstrap) || cannot "debootstrap could not be installed"
	fi
	from=$(mirror)
	[ -n "$from" ] || cannot "no mirror of Debian is among the sources of this machine"
	as_root unshare --mount true 2>/dev/null || cannot "mount namespaces are not allowed"
	remove
	# The same for every chroot of this release.
	mkdir -p "$target/chroots"
	if [ -e "$pristine" ] && as_root mkdir "$chroot.new" && as_root tar -C "$chroot.new" --numeric-owner -xpf "$pristine"; then
		as_root mv "$chroot.new" "$chroot"
		as_root touch "$chroot/.made"
		return
	fi
	as_root rm -rf --one-file-system "$chroot.new"
	say "making a Debian $release in ${place#"$root/"} from $from (a minute)"
	eval "$(apt-config shell http_proxy_of_apt Acquire::http::Proxy)"
	if ! as_root unshare --mount --propagation private env ${http_proxy_of_apt:+"http_proxy=$http_proxy_of_apt"} \
		PATH="$PATH:/usr/sbin:/sbin" debootstrap --variant=minbase "$suite" "$chroot.new" "$from" >"$log" 2>&1 9>&-; then
		tail -n 3 "$log" >&2
		cannot "debootstrap failed (see ${log#"$root/"})"
	fi
	proxies | as_root tee "$chroot.new/etc/apt/apt.conf.d/99proxies" >/dev/null
	as_root mkdir "$chroot.new/audit"
	as_root rm -f "$pristine"
	as_root tar -C "$chroot.new" --numeric-owner -cpf "$pristine.new" . && as_root mv "$pristine.new" "$pristine"
	as_root mv "$chroot.new" "$chroot"
	as_root touch "$chroot/.made"
}

# The first process of the namespaces: mounts, and starts the command in the chroot. All ends with it.
first_process='
chroot=$1; shift
mount -t proc proc "$chroot/proc" &&
mount -t tmpfs -o mode=755 dev "$chroot/dev" || exit 1
for name in null zero full random urandom tty; do
	: >"$chroot/dev/$name" && mount --bind "/dev/$name" "$chroot/dev/$name" || exit 1
done
mkdir "$chroot/dev/pts" "$chroot/dev/shm" &&
mount -t devpts -o newinstance,ptmxmode=666,mode=620 devpts "$chroot/dev/pts" &&
mount -t tmpfs -o mode=1777 shm "$chroot/dev/shm" || exit 1
ln -s pts/ptmx "$chroot/dev/ptmx"; ln -s /proc/self/fd "$chroot/dev/fd"
trap "exit 130" INT TERM HUP
chroot "$chroot" "$@" &
wait $!
'

# Ends with this script, even if that is killed.
inside() { # COMMAND…
	as_root setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --propagation private sh -c "$first_process" sh "$chroot" \
		env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 TERM="${TERM:-dumb}" \
		sh -c 'cd /audit && exec "$@"' sh "$@"
}
