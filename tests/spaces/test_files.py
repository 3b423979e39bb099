"""Files are replaced in one step: what fails leaves the old content and no temporary behind."""

from __future__ import annotations

import os

import pytest

from spaces.files import replacing, write_atomically


def test_the_new_content_replaces_the_old(tmp_path):
    path = tmp_path / "a"
    for data in (b"old", b"new"):
        write_atomically(path, data)
        assert path.read_bytes() == data
    assert os.listdir(tmp_path) == ["a"]


def test_a_rename_that_fails_leaves_the_old_content(tmp_path, monkeypatch):
    write_atomically(tmp_path / "a", b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_a_missing_folder_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "missing" / "a", b"new")


def test_none_of_several_files_is_replaced_before_all_are_written(tmp_path):
    paths = [tmp_path / name for name in "abc"]
    for path in paths:
        write_atomically(path, b"old")

    def interrupted():
        with replacing(*paths) as temporaries:
            temporaries[0].write_bytes(b"new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        interrupted()
    assert [path.read_bytes() for path in paths] == [b"old"] * 3
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "c"]
    with replacing(*paths) as temporaries:
        for temporary in temporaries:
            temporary.write_bytes(b"new")
    assert [path.read_bytes() for path in paths] == [b"new"] * 3
