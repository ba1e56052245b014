"""Fetching the faces' generator: only the expected bytes are ever kept, and failures are clear."""

from __future__ import annotations

import subprocess
import zipfile

import pytest

from gahb.images import faces as fetch
from gahb.images.faces import MEMBER, face_weights, pip_download, sha256

WEIGHTS = b"weights" * 100


@pytest.fixture(autouse=True)
def kept(tmp_path, monkeypatch):
    monkeypatch.setenv("GAHB_CACHE", str(tmp_path))
    monkeypatch.setattr(fetch, "SHA256", sha256(WEIGHTS))
    return tmp_path / "faces-generator.tar"


def giving(content: bytes = WEIGHTS, member: str = MEMBER):
    """Stand-in for pip that puts a wheel with this content into the folder."""

    def download(package, folder):
        assert package == "gan-face-generate==1.1.1"
        with zipfile.ZipFile(folder / "a.whl", "w") as archive:
            archive.writestr(member, content)

    return download


def fetched(monkeypatch, download):
    monkeypatch.setattr(fetch, "pip_download", download)
    return face_weights()


def refusing(package, folder):
    raise AssertionError("nothing is to be downloaded")


def test_weights_are_fetched_once(kept, monkeypatch):
    assert fetched(monkeypatch, giving()) == kept
    assert kept.read_bytes() == WEIGHTS
    assert fetched(monkeypatch, refusing) == kept


@pytest.mark.parametrize("content", [b"", WEIGHTS[:-3], b"x" + WEIGHTS[1:]])
def test_a_damaged_copy_is_fetched_again(kept, content, monkeypatch):
    kept.write_bytes(content)
    assert fetched(monkeypatch, giving()).read_bytes() == WEIGHTS


def not_a_wheel(package, folder):
    (folder / "a.whl").write_bytes(b"half a whe")


def nothing(package, folder):
    pass


@pytest.mark.parametrize(
    ("download", "words"),
    [
        (giving(b"other"), f"have SHA-256 {sha256(b'other')}, not {sha256(WEIGHTS)}"),
        (giving(member="else"), f"has no readable {MEMBER}"),
        (not_a_wheel, f"has no readable {MEMBER}"),
        (nothing, "gave no wheel"),
    ],
)
def test_other_weights_are_refused_and_not_kept(kept, download, words, monkeypatch):
    with pytest.raises(RuntimeError, match=words) as caught:
        fetched(monkeypatch, download)
    assert "\n" not in str(caught.value) and str(kept) in str(caught.value)
    assert list(kept.parent.iterdir()) == []


def test_an_interrupted_download_leaves_nothing_behind(kept, monkeypatch):
    def interrupted(package, folder):
        giving()(package, folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetched(monkeypatch, interrupted)
    assert list(kept.parent.iterdir()) == []
    assert fetched(monkeypatch, giving()).read_bytes() == WEIGHTS


def test_a_failure_of_pip_is_one_line_with_its_reason(monkeypatch, kept):
    def failing(command, **options):
        assert command[1:4] == ["-m", "pip", "download"] and "--no-deps" in command
        return subprocess.CompletedProcess(command, 1, "", "WARNING: retrying\nERROR: no network\n")

    monkeypatch.setattr(subprocess, "run", failing)
    with pytest.raises(RuntimeError, match="could not download gan-face-generate") as caught:
        face_weights()
    assert "ERROR: no network; without network, put" in str(caught.value)
    assert "\n" not in str(caught.value) and not kept.exists()


def test_pip_itself_reports_a_package_that_does_not_exist(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(RuntimeError, match="pip could not download nothing-of-this-name==1: ERROR"):
        pip_download("nothing-of-this-name==1", tmp_path)
