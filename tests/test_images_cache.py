"""The cache: grows, survives damage and interruption, and may be filled by two at once."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from gahb.images import load
from gahb.images import store as cache
from gahb.images.store import cached_images, read_images

FILL = """
from gahb.images import load
from gahb.images import store as cache
cache.CHUNK = 4
x = load("leaves", {n}, 16)
print(int(x.sum(dtype=float) * 255 + 0.5), flush=True)
"""


def numbered(indices):
    """Image i holds the number i."""
    return torch.tensor(indices, dtype=torch.uint8).reshape(-1, 1, 1, 1).expand(-1, 1, 8, 8)


@pytest.fixture(autouse=True)
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("GAHB_CACHE", str(tmp_path))
    monkeypatch.setattr(cache, "CHUNK", 4)
    return tmp_path / "images" / "a.safetensors"


class Recorder:
    """Draws numbered images, noting which, and may be stopped after some."""

    def __init__(self, stop_at: int = 10**9) -> None:
        self.drawn: list[int] = []
        self.stop_at = stop_at

    def __call__(self, indices):
        if max(indices) >= self.stop_at:
            raise KeyboardInterrupt
        self.drawn += indices
        return numbered(indices)


def test_only_missing_images_are_drawn():
    assert torch.equal(cached_images("a", 3, Recorder()), numbered(range(3)))
    more = Recorder()
    assert torch.equal(cached_images("a", 10, more), numbered(range(10)))
    assert more.drawn == list(range(3, 10))
    fewer = Recorder()
    assert torch.equal(cached_images("a", 5, fewer), numbered(range(5)))
    assert fewer.drawn == []


def test_shuffled_images_are_made_from_those_that_are_there(file):
    load("leaves", 5, 16)
    load("shuffled-leaves", 5, 16)
    assert [kept.name for kept in file.parent.iterdir()] == ["leaves-v1-16-S1-seed0.safetensors"]


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "text", "no checksum"])
def test_a_damaged_file_is_made_again(file, damage):
    cached_images("a", 6, Recorder())
    whole = file.read_bytes()
    damaged = {
        "truncated": whole[:-10],
        "flipped": whole[:-1] + bytes([whole[-1] ^ 1]),
        "empty": b"",
        "text": b"not a file of images",
        "no checksum": whole.replace(b"sha256", b"sha512"),
    }
    file.write_bytes(damaged[damage])
    assert read_images(file) is None
    again = Recorder()
    assert torch.equal(cached_images("a", 6, again), numbered(range(6)))
    assert again.drawn == list(range(6)) and file.read_bytes() == whole


def test_an_interrupted_fill_keeps_what_was_drawn(file):
    cached_images("a", 2, Recorder())
    with pytest.raises(KeyboardInterrupt):
        cached_images("a", 20, Recorder(stop_at=11))
    assert torch.equal(read_images(file), numbered(range(10)))
    rest = Recorder()
    assert torch.equal(cached_images("a", 20, rest), numbered(range(20)))
    assert rest.drawn == list(range(10, 20))


def test_a_failed_writing_leaves_the_old_file_alone(file, monkeypatch):
    cached_images("a", 2, Recorder())
    monkeypatch.setattr(cache, "save", lambda *_, **__: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.warns(UserWarning, match="will be drawn again each time: .*disk full"):
        cached_images("a", 6, Recorder())
    assert torch.equal(read_images(file), numbered(range(2)))
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_shorter_fill_does_not_undo_a_longer_one(file):
    def overtaken(indices):
        cached_images("a", 12, Recorder())
        return numbered(indices)

    assert torch.equal(cached_images("a", 3, overtaken), numbered(range(3)))
    assert torch.equal(read_images(file), numbered(range(12)))


def test_two_processes_fill_the_same_file_at_once(tmp_path):
    counts = [30, 41]
    processes = [
        subprocess.Popen([sys.executable, "-c", FILL.format(n=n)], stdout=subprocess.PIPE)
        for n in counts
    ]
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    (file,) = (tmp_path / "images").iterdir()
    kept = read_images(file)
    assert kept is not None and len(kept) in counts
    x = load("leaves", 41, 16, dtype=torch.uint8)
    assert [int(output) for output in outputs] == [int(x[:n].sum()) for n in counts]
    file.unlink()
    assert torch.equal(load("leaves", 41, 16, dtype=torch.uint8), x)


def test_the_cache_tells_sizes_subsets_and_seeds_apart(tmp_path):
    for size, subset, seed in [(16, "S1", 0), (8, "S1", 0), (16, "S2", 0), (16, "S1", 1)]:
        load("leaves", 1, size, subset, seed)
    assert len(list((tmp_path / "images").iterdir())) == 4
