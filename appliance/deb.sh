#!/usr/bin/env bash
# Packs the release binary as a Debian package: program, service unit, configuration, completions.
# usage: appliance/deb.sh [DIR]     needs dpkg-deb; leaves sawbox_<version>_<architecture>.deb in DIR (default: target/)
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
out=${1:-$target}
cargo build --release --locked
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
architecture=$(dpkg --print-architecture)
# What it is linked against here is what it needs there.
libc=$(dpkg-query -W -f '${Version}' libc6 | cut -d- -f1)
root=$(mktemp -d)
chmod 755 "$root"
trap 'rm -rf "$root"' EXIT
install -D -m 755 "$target/release/sawbox" "$root/usr/bin/sawbox"
install -D -m 644 appliance/sawbox.service "$root/lib/systemd/system/sawbox.service"
# Passwords go into it: nobody reads it but root, until there is the group.
install -D -m 640 appliance/sawbox.toml "$root/etc/sawbox/sawbox.toml"
install -D -m 644 README.md "$root/usr/share/doc/sawbox/README.md"
install -D -m 644 appliance/README.md "$root/usr/share/doc/sawbox/running.md"
install -D -m 644 LICENSE "$root/usr/share/doc/sawbox/copyright"
mkdir -p "$root/usr/share/bash-completion/completions" "$root/usr/share/zsh/vendor-completions" \
  "$root/usr/share/fish/vendor_completions.d" "$root/DEBIAN"
"$root/usr/bin/sawbox" completions bash > "$root/usr/share/bash-completion/completions/sawbox"
"$root/usr/bin/sawbox" completions zsh > "$root/usr/share/zsh/vendor-completions/_sawbox"
"$root/usr/bin/sawbox" completions fish > "$root/usr/share/fish/vendor_completions.d/sawbox.fish"
cat > "$root/DEBIAN/control" <<CONTROL
Package: sawbox
Version: $version
Architecture: $architecture
Maintainer: Sawbox maintainers <maintainers@sawbox.invalid>
Section: admin
Priority: optional
Depends: libc6 (>= $libc), libgcc-s1, adduser
Description: logs in one box
 Receives logs, keeps them in a durable queue, cuts them with sandboxed
 WebAssembly filters, stores and searches them, with a page to look at.
CONTROL
echo /etc/sawbox/sawbox.toml > "$root/DEBIAN/conffiles"
cat > "$root/DEBIAN/postinst" <<'POSTINST'
#!/bin/sh
set -e
if [ "$1" = configure ]; then
  adduser --system --group --no-create-home --home /var/lib/sawbox --quiet sawbox
  # As this package or an earlier one left it; whoever gave it to others meant it.
  case $(stat -c %U:%G:%a /etc/sawbox/sawbox.toml 2>/dev/null || true) in
    root:root:640 | root:root:644)
      chown root:sawbox /etc/sawbox/sawbox.toml
      chmod 0640 /etc/sawbox/sawbox.toml ;;
  esac
  if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    # An upgrade goes on with the new program; a first installation waits until somebody has read the configuration.
    systemctl try-restart sawbox || true
  fi
fi
POSTINST
cat > "$root/DEBIAN/prerm" <<'PRERM'
#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then systemctl disable --now sawbox || true; fi
PRERM
cat > "$root/DEBIAN/postrm" <<'POSTRM'
#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then systemctl daemon-reload || true; fi
if [ "$1" = purge ]; then
  # Queue, rows, filters and users; a `data_dir` elsewhere is left to who chose it.
  rm -rf /var/lib/sawbox
  if getent passwd sawbox >/dev/null && command -v deluser >/dev/null; then deluser --system --quiet sawbox || true; fi
  if getent group sawbox >/dev/null && command -v delgroup >/dev/null; then delgroup --system --quiet sawbox || true; fi
fi
POSTRM
chmod 755 "$root/DEBIAN/postinst" "$root/DEBIAN/prerm" "$root/DEBIAN/postrm"
dpkg-deb --root-owner-group --build "$root" "$out/sawbox_${version}_${architecture}.deb"
