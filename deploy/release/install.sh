#!/bin/sh
# Installs pssst @VERSION@ on Linux, upgrades it, or removes it. It never asks for another user's
# rights, and changes nothing until everything is downloaded and verified.
#
#   curl -fsSL @BASE_URL@/install.sh | sh
#   curl -fsSL @BASE_URL@/install.sh | sh -s -- --prefix /usr/local
#
# The functions below do nothing by themselves: only the last line starts, so that a download that
# was cut off installs nothing.
set -eu

version='@VERSION@'
base_url=${PSSST_BASE_URL:-'@BASE_URL@'}
public_key='@PUBLIC_KEY@'

usage() {
    cat <<END
Installs pssst $version.

Usage: install.sh [OPTIONS]

  --prefix DIR      Install into DIR/bin and DIR/share [default: \$HOME/.local]
  --base-url URL    Download from URL [default: $base_url]
  --no-signature    Do not verify the signature: trust whoever serves URL
  --uninstall       Remove what was installed in DIR; keys and configuration stay
  --help            Print this
END
}

fail() {
    printf 'error: %s\n' "$1" >&2
    [ $# -lt 2 ] || printf 'help: %s\n' "$2" >&2
    exit "${3:-1}"
}

have() { command -v "$1" >/dev/null 2>&1; }

# The Rust target of the binary for this machine.
find_target() {
    case $(uname -s)/$(uname -m) in
        Linux/x86_64 | Linux/amd64) echo x86_64-unknown-linux-musl ;;
        Linux/aarch64 | Linux/arm64) echo aarch64-unknown-linux-musl ;;
        *)
            fail "there is no binary for $(uname -s) on $(uname -m)" \
                "build from source with Rust: cargo install --path crates/pssst-cli --locked"
            ;;
    esac
}

# Downloads the file NAME of the release into the folder.
fetch() {
    if have curl; then
        curl -fsSL --proto "$protocols" --connect-timeout 20 -o "$folder/$1" "$base_url/$1"
    elif have wget; then
        wget -q -O "$folder/$1" "$base_url/$1"
    else
        fail "neither curl nor wget is installed" "install one of them"
    fi || fail "cannot download $base_url/$1" "check the network and the address; nothing was changed"
}

# Cuts COUNT bytes after SKIP bytes out of a file.
bytes() { dd if="$1" bs=1 skip="$2" count="$3" 2>/dev/null; }

# A signature of minisign is "ED", the number of the key, and Ed25519 over BLAKE2b of the file.
verify_with_openssl() {
    sed -n 2p "$folder/SHA256SUMS.minisig" | openssl base64 -d -A >"$folder/signature"
    echo "$public_key" | openssl base64 -d -A >"$folder/key"
    [ "$(bytes "$folder/signature" 0 2)" = ED ] || return 1
    bytes "$folder/signature" 2 8 >"$folder/signature.id"
    bytes "$folder/key" 2 8 >"$folder/key.id"
    cmp -s "$folder/signature.id" "$folder/key.id" || return 1
    bytes "$folder/signature" 10 64 >"$folder/signature.raw"
    # SubjectPublicKeyInfo of Ed25519 (RFC 8410).
    printf '\060\052\060\005\006\003\053\145\160\003\041\000' >"$folder/key.der"
    bytes "$folder/key" 10 32 >>"$folder/key.der"
    openssl dgst -blake2b512 -binary "$folder/SHA256SUMS" >"$folder/hash"
    openssl pkeyutl -verify -pubin -keyform DER -inkey "$folder/key.der" -rawin \
        -in "$folder/hash" -sigfile "$folder/signature.raw" >/dev/null 2>&1
}

verify_signature() {
    if have minisign; then
        minisign -V -q -P "$public_key" -m "$folder/SHA256SUMS" -x "$folder/SHA256SUMS.minisig" >/dev/null 2>&1
    else
        case $(openssl version 2>/dev/null) in
            "OpenSSL "[3-9]*) verify_with_openssl ;;
            *)
                fail "the signature cannot be verified: neither minisign nor OpenSSL 3 is installed" \
                    "install one of them, or trust $base_url alone with --no-signature"
                ;;
        esac
    fi || fail "the signature of $base_url/SHA256SUMS is not by the key of this release" \
        "the files or the key were replaced: do not install them, and tell the project"
}

sha256() {
    if have sha256sum; then
        sha256sum "$1"
    elif have shasum; then
        shasum -a 256 "$1"
    else
        openssl dgst -sha256 -r "$1"
    fi | cut -d ' ' -f 1
}

verify_sum() {
    expected=$(awk -v name="$1" '$2 == name { print $1 }' "$folder/SHA256SUMS")
    [ -n "$expected" ] || fail "$base_url/SHA256SUMS does not list $1" "ask for version $version at its own address"
    actual=$(sha256 "$folder/$1")
    [ "$actual" = "$expected" ] || fail "$base_url/$1 is damaged: its SHA-256 is $actual, and should be $expected" \
        "download again; if it stays, tell the project: the file was changed"
}

# Removes the files that the list in $1 names and the list in $2 does not.
remove_files() {
    sed 1d "$1" | while IFS= read -r file; do
        case $file in
            bin/* | share/*) ;;
            *) continue ;;
        esac
        case $file in *..*) continue ;; esac
        grep -qxF "$file" "$2" || rm -f "$prefix/$file"
    done
}

uninstall() {
    [ -f "$installed" ] || fail "pssst was not installed in $prefix by this script" \
        "name the folder that it was installed in: --prefix DIR"
    remove_files "$installed" /dev/null
    rm -f "$installed"
    rmdir "$prefix/share/pssst" "$prefix/share/doc/pssst" 2>/dev/null || :
    echo "removed pssst from $prefix; keys and configuration were not touched"
}

install() {
    case $base_url in
        https://*) protocols='=https' ;;
        http://*)
            protocols='=http,https'
            [ "$signature" = yes ] || fail "--no-signature needs an https address: anyone on the path could change the files"
            ;;
        *) fail "the address '$base_url' does not begin with https://" "name the folder of a release: --base-url URL" 2 ;;
    esac
    target=$(find_target)
    name=pssst-$version-$target
    if [ -e "$prefix/bin/pssst" ] && [ ! -f "$installed" ]; then
        fail "$prefix/bin/pssst was not installed by this script" "remove it, or choose another folder: --prefix DIR"
    fi

    # In the prefix, so that moving a file into its place is one step.
    folder=$(mkdir -p "$prefix" && mktemp -d "$prefix/.pssst-XXXXXX") ||
        fail "cannot write into $prefix" "choose another folder with --prefix, or run this as its owner"
    trap 'rm -rf "$folder"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM

    fetch SHA256SUMS
    if [ "$signature" = yes ]; then
        fetch SHA256SUMS.minisig
        verify_signature
    else
        echo "warning: the signature was not verified" >&2
    fi
    fetch "$name.tar.gz"
    verify_sum "$name.tar.gz"
    (cd "$folder" && gzip -dc "$name.tar.gz" | tar -xf -) || fail "cannot unpack $name.tar.gz in $prefix"
    says=$("$folder/$name/bin/pssst" --version 2>&1) || fail "the program does not run on this system: $says"
    [ "$says" = "pssst $version" ] || fail "the program says that it is '$says', and not 'pssst $version'"

    mkdir -p "$prefix/share/pssst" || fail "cannot write into $prefix/share"
    (echo "$version" && cd "$folder/$name" && find bin share -type f | LC_ALL=C sort) >"$folder/installed"
    # Until all is done, the list has the files of both versions, so that no file is forgotten.
    {
        sed -n 1p "$installed" 2>/dev/null || echo
        sed 1d "$folder/installed"
        sed 1d "$installed" 2>/dev/null || :
    } >"$folder/both"
    previous=$(sed -n 1p "$folder/both")
    mv -f "$folder/both" "$installed"
    # The program last: until then the previous one works as before.
    sed 1d "$folder/installed" | LC_ALL=C sort -r | while IFS= read -r file; do
        mkdir -p "$prefix/${file%/*}" && mv -f "$folder/$name/$file" "$prefix/$file" || exit 1
    done || fail "cannot write all files into $prefix" "free space or change the owner, and run this again"
    remove_files "$installed" "$folder/installed"
    mv -f "$folder/installed" "$installed"

    case $previous in
        '') echo "installed pssst $version: $prefix/bin/pssst" ;;
        "$version") echo "installed pssst $version again: $prefix/bin/pssst" ;;
        *) echo "upgraded pssst from $previous to $version: $prefix/bin/pssst" ;;
    esac
    case :${PATH:-}: in
        *:"$prefix/bin":*) ;;
        *) echo "$prefix/bin is not in PATH: add it, or type the whole path" ;;
    esac
    echo "next: pssst demo"
}

main() {
    prefix=${HOME:+$HOME/.local}
    action=install
    signature=yes
    while [ $# -gt 0 ]; do
        case $1 in
            --prefix | --base-url)
                [ $# -gt 1 ] || fail "$1 needs a value" "install.sh --help" 2
                if [ "$1" = --prefix ]; then prefix=$2; else base_url=$2; fi
                shift
                ;;
            --no-signature) signature=no ;;
            --uninstall) action=uninstall ;;
            --help | -h) usage && exit ;;
            *) fail "unexpected argument '$1'" "install.sh --help" 2 ;;
        esac
        shift
    done
    base_url=${base_url%/}
    case $prefix in
        /*) ;;
        '') fail "HOME is not set" "name a folder: --prefix DIR" 2 ;;
        *) prefix=$PWD/$prefix ;;
    esac
    # The version, then the files, one a line, relative to the prefix.
    installed=$prefix/share/pssst/installed
    "$action"
}

{ main "$@"; }
