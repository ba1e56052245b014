"""A user's own pictures: read in order, without near-duplicates, split into disjoint subsets."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from gahb.images import folder, load, pick
from gahb.images.folder import SUFFIXES, read_picture, read_pictures, split
from gahb.images.store import SUBSETS

SIZE = 16


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GAHB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def pictures(tmp_path):
    """Folder of 20 pictures of noise, written in an order that is not that of their names."""
    path = tmp_path / "pictures"
    (path / "more").mkdir(parents=True)
    random = np.random.RandomState(0)
    for i in random.permutation(20):
        place = path / "more" if i >= 15 else path
        noise = np.random.RandomState(i).randint(0, 256, (24, 32, 3), dtype=np.uint8)
        Image.fromarray(noise).save(place / f"{i:02d}.png")
    return path


def subsets(path, n=9, seed=0):
    """S1, S2 and test of 20 pictures, as rows of bytes."""
    counts = {"S1": n, "S2": n, "test": 2}
    return {
        subset: load("folder", count, SIZE, subset, seed, torch.uint8, path)
        for subset, count in counts.items()
    }


def test_subsets_are_disjoint_and_hold_every_picture(pictures):
    everything = torch.cat(list(subsets(pictures).values())).flatten(1)
    assert everything.shape == (20, SIZE**2) and len(everything.unique(dim=0)) == 20
    files = sorted(pictures.rglob("*.png"))
    read = [read_picture(file.name, file.read_bytes(), SIZE) for file in files]
    expected = torch.from_numpy(np.stack(read)).flatten(1)
    assert torch.equal(everything.unique(dim=0), expected.unique(dim=0))


def test_the_first_images_do_not_depend_on_how_many_are_asked_for(pictures):
    many, few = subsets(pictures), subsets(pictures, n=4)
    assert torch.equal(many["S1"][:4], few["S1"]) and torch.equal(many["S2"][:4], few["S2"])


def test_the_seed_chooses_the_split(pictures):
    assert not torch.equal(subsets(pictures)["S1"], subsets(pictures, seed=1)["S1"])


def test_a_zip_of_the_folder_gives_the_same_images(pictures, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "a"), "zip", tmp_path, "pictures")
    from_folder, from_zip = subsets(pictures), subsets(archive)
    assert all(torch.equal(from_folder[subset], from_zip[subset]) for subset in from_folder)


def test_near_duplicates_are_removed_before_the_split(pictures):
    original = Image.open(pictures / "03.png")
    original.point(lambda level: level // 2 + 10).save(pictures / "03-darker.png")
    original.save(pictures / "more" / "03.jpg", quality=95)
    everything = torch.cat(list(subsets(pictures).values())).flatten(1)
    assert len(everything) == 20
    cosine = torch.corrcoef(everything.double()) - torch.eye(20)
    assert cosine.max() < 0.95


def test_more_images_than_a_subset_has_are_refused(pictures):
    with pytest.raises(
        ValueError, match=r"n: 10 is more than the 9 images of subset S1 .* 20 dist"
    ):
        load("folder", 10, SIZE, path=pictures)
    assert {subset: len(indices) for subset, indices in split(1, 0).items()} == {
        "S1": 0,
        "S2": 0,
        "test": 1,
    }


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"words"])
def test_an_unreadable_picture_is_named(pictures, content, cache):
    (pictures / "more" / "bad.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"path: the image more/bad\.png cannot be read"):
        load("folder", 1, SIZE, path=pictures)
    assert not cache.exists()


def test_a_truncated_picture_is_named(pictures):
    whole = (pictures / "04.png").read_bytes()
    (pictures / "04.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"path: the image 04\.png cannot be read"):
        load("folder", 1, SIZE, path=pictures)


def test_a_picture_smaller_than_the_size_is_named(pictures):
    with pytest.raises(ValueError, match=r"size: 25 is more than the image 00\.png has, 32x24"):
        load("folder", 1, 25, path=pictures)


def test_places_without_pictures_are_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(ValueError, match=r"has no images; accepted: \.bmp"):
        load("folder", 1, SIZE, path=tmp_path)
    with pytest.raises(ValueError, match=r"notes\.txt is neither a folder nor a \.zip file"):
        load("folder", 1, SIZE, path=tmp_path / "notes.txt")


def test_hidden_files_are_passed_over(pictures):
    before = subsets(pictures)
    (pictures / "._00.png").write_bytes(b"a file manager's")
    (pictures / "__MACOSX").mkdir()
    (pictures / "__MACOSX" / "01.png").write_bytes(b"a file manager's")
    after = subsets(pictures)
    assert all(torch.equal(before[subset], after[subset]) for subset in before)


def test_pictures_are_read_once_and_again_when_one_changes(pictures, monkeypatch):
    before = subsets(pictures)
    with monkeypatch.context() as patch:
        patch.setattr(folder, "read_picture", None)
        assert torch.equal(subsets(pictures)["S1"], before["S1"])
    changed = pictures / "00.png"
    Image.fromarray(np.eye(32, dtype=np.uint8) * 255).save(changed)
    os.utime(changed, ns=(0, 0))
    after = subsets(pictures)
    assert any(not torch.equal(before[subset], after[subset]) for subset in before)


def saved(image, tmp_path, suffix=".png", **options):
    image.save(tmp_path / f"a{suffix}", **options)
    return (tmp_path / f"a{suffix}").read_bytes()


def test_the_center_square_is_averaged(tmp_path):
    wide = np.zeros((4, 8), dtype=np.uint8)
    wide[:, 2:4] = 200
    wide[:, :2] = 99
    read = read_picture("a.png", saved(Image.fromarray(wide), tmp_path), 2)
    assert read.tolist() == [[200, 0], [200, 0]]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_accepted_format_is_read(tmp_path, suffix):
    flat = Image.new("RGB", (16, 16), (40, 40, 40))
    read = read_picture("a", saved(flat, tmp_path, suffix), 8)
    assert read.shape == (8, 8) and np.abs(read.astype(int) - 40).max() <= 2


def test_modes_become_gray_levels(tmp_path):
    deep = Image.fromarray(np.full((8, 8), 257 * 200, dtype=np.uint16))
    assert (read_picture("a", saved(deep, tmp_path), 8) == 200).all()
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    assert (read_picture("a", saved(clear, tmp_path), 8) == 255).all()
    red = Image.new("P", (8, 8))
    red.putpalette([255, 0, 0])
    assert (read_picture("a", saved(red, tmp_path), 8) == 76).all()
    with pytest.raises(ValueError, match="no fixed range of gray levels"):
        read_picture("a", saved(Image.new("F", (8, 8)), tmp_path, ".tiff"), 8)


def test_pictures_taken_sideways_are_turned(tmp_path):
    image = Image.fromarray(
        np.repeat(np.array([[0], [250]], dtype=np.uint8), 8, axis=0).repeat(16, 1)
    )
    exif = Image.Exif()
    exif[0x0112] = 6
    read = read_picture("a", saved(image, tmp_path, exif=exif), 2)
    assert read.tolist() == [[250, 0], [250, 0]]


def test_pictures_are_read_in_color_if_asked_for(pictures, tmp_path):
    options = {"path": pictures, "channels": 3}
    read = {subset: load("folder", None, 24, subset, **options) for subset in SUBSETS}
    every = torch.cat(list(read.values()))
    assert every.shape == (20, 3, 24, 24)
    first = np.array(Image.open(pictures / "00.png"))[:, 4:28]  # its center square
    expected = torch.from_numpy(first).movedim(2, 0) / 255
    assert (every == expected).flatten(1).all(1).sum() == 1
    gray = load("folder", 9, 24, path=pictures)
    assert gray.shape == (9, 1, 24, 24)
    assert torch.equal(pick("folder", [3, 1], 24, **options), read["S1"][[3, 1]])
    clear = Image.new("LA", (8, 8), (0, 0))
    assert (read_picture("a", saved(clear, tmp_path), 8, channels=3) == 255).all()
    deep = Image.fromarray(np.full((8, 8), 257 * 200, dtype=np.uint16))
    assert (read_picture("a", saved(deep, tmp_path), 8, channels=3) == 200).all()
    for name, channels in (("folder", 2), ("leaves", 3)):
        with pytest.raises(ValueError, match=rf"^channels: {channels}; accepted: 1"):
            load(name, 1, 8, channels=channels)


def test_a_whole_folder_is_read_as_it_is(pictures):
    read = read_pictures(pictures)
    assert read.shape == (20, 1, 24, 24) and read.dtype == torch.uint8
    for i in (0, 19):
        file = sorted(pictures.rglob("*.png"))[i]
        expected = torch.tensor(read_picture(file.name, file.read_bytes(), 24))
        assert torch.equal(read[i, 0], expected)
    shutil.copy(pictures / "00.png", pictures / "zz.png")
    assert len(read_pictures(pictures, 8, channels=3)) == 21  # near-duplicates stay
