#!/usr/bin/env bash
# Builds guests to Wasm: the stock filters to filters/dist/NAME.wasm, those that tests use to tests/guests/NAME.wasm; a file BUILT
# beside them says by what and with which hashes.
#
#   filters/build.sh            build, and write filters/dist and tests/guests
#   filters/build.sh --check    build elsewhere and compare; hashes are compared where the toolchain is the one in BUILT
#
# The box embeds filters/dist, so building the box needs none of this. Run it after a change to filters/, tests/guests/ or guest-sdk/.
#
# Toolchain: rustup's, where `rustup target add wasm32-unknown-unknown` was done. Else Debian's second one, which does not
# shadow rustup's:
#   apt-get install --no-install-recommends rustc-web cargo-web rust-web-src rust-web-llvm libstd-rust-web-dev lld-22
# Its standard library for Wasm is then made once, from its sources, in a cache directory (a minute, 80 MB).
#
# Environment: SAWBOX_WASM_SYSROOT  a sysroot for /usr/bin/rustc that is already there
#              CARGO_TARGET_DIR     where to build (default: target/filters-wasm)
#
# Builds are reproducible: paths are mapped away, one codegen unit, no debug information, no registry crates.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=wasm32-unknown-unknown
check=false
case "${1-}" in
  '') ;;
  --check) check=true ;;
  *) sed -n '2,6p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac

sha256() { if command -v sha256sum >/dev/null; then sha256sum "$@"; else shasum -a 256 "$@"; fi; }

# A standard library for $target, made with /usr/bin/rustc from the sources that Debian ships with it.
make_sysroot() {
  local dest=$1 library=/usr/lib/rustlib/src/rust/library work
  [ -d "$library/vendor" ] || { echo "build.sh: $library/vendor is missing: install rust-web-src" >&2; exit 1; }
  echo "build.sh: making a standard library for $target in $dest" >&2
  work=$(mktemp -d)
  mkdir -p "$work/src" "$work/.cargo"
  : > "$work/src/lib.rs"
  # As a cdylib too, and with lto: otherwise its objects lack the bitcode that a guest's own lto wants.
  cat > "$work/Cargo.toml" <<'TOML'
[package]
name = "nothing"
version = "0.0.0"
edition = "2024"
[lib]
crate-type = ["cdylib", "rlib"]
[profile.release]
panic = "abort"
lto = true
[workspace]
TOML
  cat > "$work/.cargo/config.toml" <<TOML
[source.crates-io]
replace-with = "shipped"
[source.shipped]
directory = "$library/vendor"
TOML
  (
    cd "$work"
    PATH=/usr/bin:/bin RUSTC_BOOTSTRAP=1 CARGO_HOME=$work/home CARGO_TARGET_DIR=$work/target \
      RUSTFLAGS="-Cembed-bitcode=yes --remap-path-prefix=$work=/sysroot --remap-path-prefix=/usr/lib/rustlib/src/rust=/rustc" \
      cargo build --quiet --release --offline --target "$target" -Zbuild-std=std,panic_abort
  )
  mkdir -p "$dest.new/lib/rustlib/$target/lib"
  find "$work/target/$target/release/deps" -name '*.rlib' ! -name 'libnothing*' \
    -exec cp {} "$dest.new/lib/rustlib/$target/lib/" \;
  rm -rf "$dest" "$work"
  mv "$dest.new" "$dest"
}

# Vectors of 16 bytes, which the box allows: `sawbox_guest::find` looks at text with them.
flags=(--remap-path-prefix="$root=/src" -Ctarget-feature=+simd128)
if libdir=$(rustc --print target-libdir --target "$target" 2>/dev/null) && [ -d "$libdir" ] && [ -z "${SAWBOX_WASM_SYSROOT-}" ]; then
  rustc=$(command -v rustc)
elif [ -x /usr/bin/rustc ] && /usr/bin/rustc --print target-list | grep -qx "$target"; then
  rustc=/usr/bin/rustc
  version=$("$rustc" --version | cut -d' ' -f2)
  sysroot=${SAWBOX_WASM_SYSROOT:-${XDG_CACHE_HOME:-$HOME/.cache}/sawbox/wasm-sysroot-$version}
  [ -d "$sysroot/lib/rustlib/$target" ] || make_sysroot "$sysroot"
  flags+=(--sysroot "$sysroot")
else
  echo "build.sh: no Rust compiler here knows $target; run: rustup target add $target" >&2
  exit 1
fi

export RUSTC=$rustc
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target/filters-wasm}
export CARGO_ENCODED_RUSTFLAGS
CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f'; echo "${flags[*]}")
unset RUSTFLAGS RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER
# The workspace's release profile is the box's; guests have their own.
export CARGO_PROFILE_RELEASE_OPT_LEVEL=3 CARGO_PROFILE_RELEASE_LTO=fat CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1
export CARGO_PROFILE_RELEASE_PANIC=abort CARGO_PROFILE_RELEASE_STRIP=symbols CARGO_PROFILE_RELEASE_DEBUG=false
export CARGO_INCREMENTAL=0

# A folder of crates, what their packages' names begin with, and where their modules are committed.
sets=("filters filter- filters/dist" "tests/guests guest- tests/guests")

# The crates of a folder.
crates() {
  local manifest name
  for manifest in "$root/$1"/*/Cargo.toml; do
    name=$(basename "$(dirname "$manifest")")
    [ "$name" = dist ] || echo "$name"
  done
}

cd "$root"
packages=()
for set in "${sets[@]}"; do
  read -r folder prefix _ <<< "$set"
  for name in $(crates "$folder"); do packages+=(-p "$prefix$name"); done
done
cargo build --quiet --locked --release --lib --target "$target" "${packages[@]}"

# Every set's modules and their BUILT, as they are to be committed, under $made.
made=$CARGO_TARGET_DIR/made
rm -rf "$made"
for set in "${sets[@]}"; do
  read -r folder prefix dist <<< "$set"
  mkdir -p "$made/$dist"
  for name in $(crates "$folder"); do
    module=$prefix$name
    cp "$CARGO_TARGET_DIR/$target/release/${module//-/_}.wasm" "$made/$dist/$name.wasm"
  done
  {
    echo "# by filters/build.sh"
    "$rustc" --version
    cargo --version
    (cd "$made/$dist" && sha256 -- *.wasm)
  } > "$made/$dist/BUILT"
done

if ! $check; then
  for set in "${sets[@]}"; do
    read -r _ _ dist <<< "$set"
    mkdir -p "$dist"
    rm -f "$dist"/*.wasm "$dist/BUILT"
    cp "$made/$dist"/*.wasm "$made/$dist/BUILT" "$dist/"
    wc -c -- "$dist"/*.wasm
  done
  exit 0
fi

for set in "${sets[@]}"; do
  read -r _ _ dist <<< "$set"
  # What is committed must be whole in any case.
  if ! (cd "$dist" && grep '\.wasm$' BUILT | sha256 -c - >/dev/null); then
    echo "build.sh: $dist does not hold what its BUILT says; run filters/build.sh" >&2
    exit 1
  fi
  if [ "$(sed -n '2,3p' "$dist/BUILT")" != "$(sed -n '2,3p' "$made/$dist/BUILT")" ]; then
    echo "build.sh: $dist builds; hashes were not compared, for the committed ones are by another toolchain:"
    diff <(sed -n '2,3p' "$dist/BUILT") <(sed -n '2,3p' "$made/$dist/BUILT") || true
    continue
  fi
  if ! diff "$dist/BUILT" "$made/$dist/BUILT"; then
    echo "build.sh: $dist is not what the sources give; run filters/build.sh and commit it" >&2
    exit 1
  fi
  echo "build.sh: $dist is what the sources give"
done
