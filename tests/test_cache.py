# SPDX-License-Identifier: Apache-2.0
"""The cache: whatever is wrong with its folder costs time, and never more."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

from synjit import cache, files
from synjit.backends.numba_cpu import ffi

ALICE, BOB = 41001, 41002  # no such users need exist

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can become other users"
)


def handler(frame):
    return frame + 1


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNJIT_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def files_in(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


# --- kernels ----------------------------------------------------------------------


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"garbage"),
        lambda path: path.write_bytes(bytes(1000)),
        cut,
        flip_a_bit,
    ],
)
def test_a_damaged_kernel_is_made_again_once(spoil, folder, caplog):
    ffi._compile(handler)
    for path in files_in(folder):
        spoil(path)
    caplog.clear()
    assert ffi._compile(handler).ctypes(1) == 2
    assert "'handler' again, as" in caplog.text
    caplog.clear()
    kept = ffi._compile(handler)
    assert (kept.cache_hits, kept.ctypes(2), caplog.text) == (1, 3, "")


def test_a_folder_where_a_kernel_should_be(folder):
    ffi._compile(handler)
    for path in files_in(folder):
        path.unlink()
        path.mkdir()
    assert ffi._compile(handler).ctypes(1) == 2


def run_script(text, **environment):
    """Run a script that has ``handler``, as a process of its own."""
    script = """
        import os
        from synjit.backends.numba_cpu import ffi

        def handler(frame):
            return frame + 1
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script) + textwrap.dedent(text)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_a_full_disk_costs_no_compiled_kernel(folder):
    """A limit on the size of files is met as a full disk or a quota is."""
    done = run_script("""
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        print(ffi._compile(handler).ctypes(1))
        print(ffi._compile(handler).ctypes(1))
    """)
    assert done.stdout.split() == ["2", "2"]
    assert "cannot keep its CPU kernel 'handler'" in done.stderr
    assert not files_in(folder)


# --- users ------------------------------------------------------------------------


@pytest.fixture
def everyones():
    """Make a folder that all users may enter and write to, as /tmp."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o1777)
    yield path
    shutil.rmtree(path)


AS_USERS = """
    from numba import njit, int64
    from synjit import cache
    from synjit.gate import certificate

    njit([int64(int64)])(handler)  # for what it imports, which others may not read
    for user in {users}:
        if os.fork():
            os.wait()
            continue
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
        hits = ffi._compile(handler).cache_hits
        before = certificate.load({{"of": "a test"}})
        if before is None:
            certificate.store({{"of": "a test"}}, "passed")
        after = certificate.load({{"of": "a test"}})
        print(hits, before, after, cache.cache_folder(), flush=True)
        os._exit(0)
"""


def made(folder):
    return f"0 None passed {folder}"


def found(folder):
    return f"1 passed passed {folder}"


def as_users(*users, **environment):
    """Make a kernel and a certificate as one user after the other."""
    script = AS_USERS.format(users=users)
    return run_script(script, **environment).stdout.splitlines()


@needs_root
@pytest.mark.parametrize("mode", [0o755, 0o700])
def test_the_home_of_another_user(mode, everyones):
    """A private folder stands in, whether the home can be read or not."""
    home = everyones / "home"
    home.mkdir()
    shutil.chown(home, ALICE)
    home.chmod(mode)
    there = {"HOME": str(home), "TMPDIR": str(everyones), "SYNJIT_CACHE_DIR": ""}
    there["XDG_CACHE_HOME"] = ""
    done = as_users(ALICE, BOB, BOB, 0, 0, **there)
    assert done.pop(0) == made(home / ".cache" / "synjit")
    for user in (BOB, 0):
        private = everyones / f"synjit-{user}"
        assert [done.pop(0), done.pop(0)] == [made(private), found(private)]
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert {path.stat().st_uid for path in home.rglob("*")} == {ALICE}


@pytest.fixture
def shared(everyones, monkeypatch):
    """Make a folder of Alice that others may read."""
    path = everyones / "shared"
    path.mkdir(mode=0o755)
    shutil.chown(path, ALICE)
    monkeypatch.setenv("SYNJIT_CACHE_DIR", str(path))
    monkeypatch.setenv("TMPDIR", str(everyones))
    return path


@needs_root
def test_what_one_user_made_in_a_shared_folder_spares_the_others(shared):
    private = shared.parent / f"synjit-{BOB}"
    assert as_users(ALICE, BOB) == [made(shared), found(private)]
    assert not files_in(private)
    for path in files_in(shared):
        path.unlink()
    # What Bob makes is for himself: Alice does not trust his folder.
    done = as_users(BOB, BOB, ALICE)
    assert done == [made(private), found(private), made(shared)]


@needs_root
def test_a_shared_folder_that_cannot_be_read(shared):
    shared.chmod(0o700)
    assert as_users(ALICE, BOB) == [made(shared), made(shared.parent / f"synjit-{BOB}")]


@needs_root
def test_a_private_folder_of_someone_else_is_not_used(shared):
    squatted = shared.parent / f"synjit-{BOB}"
    squatted.mkdir(mode=0o777)
    shutil.chown(squatted, ALICE)
    assert as_users(BOB, BOB) == ["0 None None /dev/null/synjit"] * 2


def test_a_private_folder_is_no_link(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert cache._private() == tmp_path / f"synjit-{os.geteuid()}"
    cache._private().rename(tmp_path / "elsewhere")
    (tmp_path / f"synjit-{os.geteuid()}").symlink_to(tmp_path / "elsewhere")
    assert cache._private() == Path("/dev/null/synjit")


def test_without_a_home(monkeypatch, tmp_path):
    def no_home(_path):
        raise RuntimeError("Could not determine home directory.")

    for name in ("SYNJIT_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "expanduser", no_home)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert cache.cache_folder() == tmp_path / f"synjit-{os.geteuid()}"


# --- files ------------------------------------------------------------------------


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "file"
    files.write_whole(path, b"old")

    def fails(*_):
        raise OSError("the disk is gone")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fails)
        with pytest.raises(OSError, match="gone"):
            files.write_whole(path, b"new")
    with pytest.raises(FileExistsError):
        files.write_whole(path, b"new", replace=False)
    assert files_in(tmp_path) == [path]
    assert path.read_bytes() == b"old"
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


def test_what_links_point_to_is_written_and_devices_stay(tmp_path):
    path, link = tmp_path / "file", tmp_path / "link"
    path.write_text("old")
    link.symlink_to(path)
    files.write_whole(link, b"new")
    assert link.is_symlink()
    assert path.read_text() == "new"
    files.write_whole(Path(os.devnull), b"new")
    assert not Path(os.devnull).is_file()


def test_checking_leaves_nothing_behind(tmp_path):
    files.check_writable(tmp_path / "new" / "folder" / "file")
    assert not list(tmp_path.iterdir())
    (tmp_path / "folder").mkdir()
    for wrong in ("folder", "x" * 300, "x" * 300 + "/file"):
        with pytest.raises(OSError, match=wrong[:50]):
            files.check_writable(tmp_path / "new" / "file", tmp_path / wrong)
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]
