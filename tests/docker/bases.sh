#!/usr/bin/env bash
# Makes stand-ins for the base images that docker/ names, under the same tags, for machines that reach no image registry:
# Debian's packages by debootstrap, the Rust toolchain and the crates of this machine. An image that is there already is left alone.
# Usage: tests/docker/bases.sh [slim] [haproxy] [rust]       without a name: slim and haproxy
# Not here: CUDA's base, which is not Debian's; the real images' sizes and every package of theirs. Ends with 77 where it cannot.
set -euo pipefail
cd "$(dirname "$0")/../.."
docker="${DOCKER:-docker}"

skip() { echo "skipped: $1"; exit 77; }
"$docker" info >/dev/null 2>&1 || skip "no Docker engine"
[ "$(id -u)" = 0 ] || skip "debootstrap needs root"
if ! command -v debootstrap >/dev/null; then
    echo "no debootstrap here: installing Debian's"
    apt-get install --yes --no-install-recommends debootstrap >/dev/null 2>&1 || skip "debootstrap cannot be installed"
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/debs"

# The tag in the file, so that a new version there cannot be forgotten here.
tag() { sed -nE "s/^ *(FROM|image:) ($1:[^ ]+).*/\2/p" docker/Dockerfile docker/compose.yaml | head -n 1; }

rootfs() { # folder, comma-separated packages
    debootstrap --variant=minbase --cache-dir="$work/debs" ${2:+--include="$2"} bookworm "$work/$1" >"$work/log" 2>&1 ||
        { tail -n 5 "$work/log"; skip "debootstrap failed"; }
    # As the real slim images do: no lists, no packages, no documents.
    rm -rf "$work/$1"/var/lib/apt/lists/* "$work/$1"/var/cache/apt/archives/*.deb "$work/$1"/usr/share/{doc,man,locale}
}

import() { # folder, tag, what docker import takes
    local folder="$1" name="$2"
    shift 2
    tar -C "$work/$folder" --numeric-owner -cf - . |
        "$docker" import --change 'LABEL more-r1.stand-in=1' "$@" - "$name" >/dev/null
    echo "made $name"
}

absent() { # tag
    ! "$docker" image inspect "$1" >/dev/null 2>&1 || { echo "there already: $1"; return 1; }
}

slim() {
    local name
    name=$(tag 'debian')
    absent "$name" || return 0
    rootfs slim ""
    import slim "$name" --change 'CMD ["bash"]'
}

haproxy() {
    local name
    name=$(tag 'haproxy')
    absent "$name" || return 0
    rootfs haproxy haproxy
    # What upstream's image promises: user 99, the configuration's place, a script that adds -W -db. (`import` knows no
    # stop signal; compose.yaml says it.)
    chroot "$work/haproxy" usermod --uid 99 haproxy
    mkdir -p "$work/haproxy/usr/local/etc/haproxy"
    cat >"$work/haproxy/usr/local/bin/docker-entrypoint.sh" <<'SCRIPT'
#!/bin/sh
set -e
[ "$1" != haproxy ] || { shift; set -- haproxy -W -db "$@"; }
exec "$@"
SCRIPT
    chmod 755 "$work/haproxy/usr/local/bin/docker-entrypoint.sh"
    import haproxy "$name" --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
        --change 'USER haproxy' --change 'ENTRYPOINT ["docker-entrypoint.sh"]' \
        --change 'CMD ["haproxy", "-f", "/usr/local/etc/haproxy/haproxy.cfg"]'
}

rust() {
    local name wanted toolchain cargo_home=/usr/local/cargo
    name=$(tag 'rust')
    absent "$name" || return 0
    wanted=$(sed -E 's/^rust:([0-9.]+)-.*/\1/' <<<"$name")
    toolchain=$(rustc --print sysroot)
    "$toolchain/bin/rustc" --version | grep -q "^rustc $wanted" || skip "the toolchain here is not $wanted"
    rootfs rust ca-certificates,gcc,g++,make,pkg-config,libc6-dev
    # Upstream has rustup in between; cargo and rustc are what a build asks for.
    mkdir -p "$work/rust$cargo_home/bin" "$work/rust/usr/local/rustup"
    cp -a "$toolchain/." "$work/rust/usr/local/rustup/"
    rm -rf "$work/rust/usr/local/rustup/share"
    for tool in cargo rustc rustdoc; do
        ln -s "../../rustup/bin/$tool" "$work/rust$cargo_home/bin/$tool"
    done
    # The Dockerfile puts an empty cache over the registry's folder, so the crates come as a folder beside it: nothing is downloaded
    # in the build, and the Dockerfile stays as it is.
    cargo vendor --locked --versioned-dirs "$work/rust$cargo_home/vendor" >/dev/null 2>"$work/log" ||
        { tail -n 5 "$work/log"; skip "the crates cannot be collected"; }
    cat >"$work/rust$cargo_home/config.toml" <<'CONFIG'
[source.crates-io]
replace-with = "folder"
[source.folder]
directory = "/usr/local/cargo/vendor"
CONFIG
    import rust "$name" --change "ENV PATH=$cargo_home/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" \
        --change "ENV CARGO_HOME=$cargo_home" --change 'CMD ["bash"]'
}

[ $# -gt 0 ] || set -- slim haproxy
for base in "$@"; do
    case "$base" in
        slim | haproxy | rust) "$base" ;;
        *) echo "no base is called $base"; exit 2 ;;
    esac
done
