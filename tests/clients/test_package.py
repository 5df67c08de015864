"""The Debian package, from its making to its purge, on a copy of this machine's files; and that the unit keeps the box from nothing it does.
Wants root, dpkg-deb, adduser, strace and systemd-analyze (not a running systemd).
"""

import re
import subprocess

import pytest

from conftest import ROOT

UNIT = ROOT / "appliance/sawbox.service"

# Mounted in a mount namespace of its own, and gone with it: what is installed there nobody else sees.
ON_A_COPY = """
set -eu
mount -t tmpfs none "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
mount -t proc none "$1/root/proc"
cp "$2" "$1/root/sawbox.deb"
cp "$3" "$1/root/steps.sh"
exec chroot "$1/root" sh /steps.sh
"""

# Each line of `say` is looked for below.
STEPS = """
set -eu
export DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin
say() { printf '%s=%s\\n' "$1" "$2"; }
mode() { stat -c %U:%G:%a "$1"; }
file=/etc/sawbox/sawbox.toml
dpkg --force-depends --install /sawbox.deb >&2
say installed "$(mode $file)"
say user "$(id -un sawbox)"
registry='{ url = "http://127.0.0.1:1", user = "u", password = "p" }'
sed -i "s|^schema_registries = .*|schema_registries = [$registry]|" $file
say check "$(sawbox check --config $file 2>&1 | tr '\\n' ' ')"
chmod 644 $file
say world "$(sawbox check --config $file 2>&1 | tr '\\n' ' ')"
dpkg --force-depends --force-confold --install /sawbox.deb >&2
say upgraded "$(mode $file)"
chmod 600 $file
dpkg --force-depends --force-confold --install /sawbox.deb >&2
say kept "$(mode $file)"
mkdir -p /var/lib/sawbox/queue
chown -R sawbox:sawbox /var/lib/sawbox
dpkg --remove sawbox >&2
say removed "$(ls -d /var/lib/sawbox/queue $file | tr '\\n' ' ')"
dpkg --purge sawbox >&2
say left "$(ls -d /var/lib/sawbox /etc/sawbox 2>/dev/null || true)$(getent passwd sawbox || true)$(getent group sawbox || true)"
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    folder = tmp_path_factory.mktemp("package")
    subprocess.run([ROOT / "appliance/deb.sh", folder], check=True)
    (deb,) = folder.glob("sawbox_*.deb")
    return deb


def test_installed_upgraded_and_purged(package, tmp_path):
    steps = tmp_path / "steps.sh"
    steps.write_text(STEPS)
    copy = tmp_path / "copy"
    copy.mkdir()
    command = ["unshare", "--mount", "sh", "-c", ON_A_COPY, "sh", copy, package, steps]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    said = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert said["installed"] == "root:sawbox:640", said
    assert said["user"] == "sawbox", said
    assert said["check"] == "/etc/sawbox/sawbox.toml: fine ", said
    assert "may be read by everybody" in said["world"] and "chmod o-r" in said["world"], said
    # What somebody set stays so.
    assert said["upgraded"] == "root:sawbox:644", said
    assert said["kept"] == "root:sawbox:600", said
    assert said["removed"].split() == ["/etc/sawbox/sawbox.toml", "/var/lib/sawbox/queue"], said
    assert said["left"] == "", said


def setting(name):
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)


def test_the_unit_waits_for_addresses_and_never_gives_up():
    assert setting("After") == setting("Wants") == ["network-online.target"]
    assert setting("StartLimitIntervalSec") == ["0"] and setting("RestartSec") == ["5s"]
    for line in UNIT.read_text().splitlines():
        assert not re.match(r"\S.*=.*\s#", line), f"systemd knows no comment behind a value: {line}"


def test_the_unit_is_hardened():
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", UNIT]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-300:] + done.stderr
    # A word that systemd does not know it only warns of.
    assert "Unknown" not in done.stderr and "Failed to parse" not in done.stderr, done.stderr


def allowed(group, seen):
    """The calls of a group of systemd's, and of the groups in it."""
    if group in seen:
        return set()
    seen.add(group)
    listed = subprocess.run(["systemd-analyze", "syscall-filter", group], capture_output=True, text=True, check=True).stdout
    calls = set()
    for line in listed.splitlines()[1:]:
        name = line.strip()
        if name.startswith("@"):
            calls |= allowed(name, seen)
        elif name and not name.startswith("#"):
            calls.add(name)
    return calls


def test_the_unit_lets_the_box_do_all_it_does(make_box, tmp_path):
    trace = tmp_path / "trace"
    box = make_box(wrap=["strace", "-f", "-qq", "-e", "signal=none", "-o", str(trace)])
    box.start(seconds=120)
    box.ingest("web", [f"line {n} of some" for n in range(5000)])
    box.settle(seconds=120)
    assert box.count("line") == 5000
    box.stop(seconds=120)
    calls = set(re.findall(r"^\d+ +(?:<\.\.\. )?(\w+)(?:\(| resumed)", trace.read_text(errors="replace"), re.MULTILINE))
    assert {"openat", "mmap", "accept4"} <= calls, calls
    (group,) = setting("SystemCallFilter")
    assert calls <= allowed(group, set()), calls - allowed(group, set())
