"""The paper's photographs: read from their publishers' layouts, which the tests make themselves."""

from __future__ import annotations

import os
import shutil
import zipfile
from dataclasses import replace

import lmdb
import numpy as np
import pytest
import torch
from PIL import Image

from gahb.images import CLASSES, files, load
from gahb.images.files import File
from gahb.images.photographs import PHOTOGRAPHS, Photographs, _test_files_last

SIZE = 20
COUNT = 1_000


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    """Folders of data sets and of the cache that belong to the test alone."""
    monkeypatch.setenv("TQDM_DISABLE", "1")
    monkeypatch.setenv("GAHB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GAHB_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def photograph(number, width=178, height=218):
    """A coarse color pattern, unlike those of other numbers, smooth enough for JPEG."""
    coarse = np.random.RandomState(number).randint(0, 256, (8, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR)


@pytest.fixture(scope="session")
def celeba(tmp_path_factory):
    """Folder ``celeba`` in the official layout: 1,000 JPEGs, written in no order, and the list."""
    root = tmp_path_factory.mktemp("official") / "celeba"
    (root / "img_align_celeba").mkdir(parents=True)
    for i in np.random.RandomState(0).permutation(COUNT):
        photograph(i).save(root / "img_align_celeba" / f"{i + 1:06d}.jpg")
    lines = [f"{i + 1:06d}.jpg {2 if i >= 900 else i >= 800:d}" for i in range(COUNT)]
    (root / "list_eval_partition.txt").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture
def few(celeba, data):
    """The first 30 of these pictures, in the folder of data sets."""
    folder = data / "celeba" / "img_align_celeba"
    folder.mkdir(parents=True)
    for i in range(1, 31):
        shutil.copy(celeba / "img_align_celeba" / f"{i:06d}.jpg", folder)
    return folder


def subsets(path=None, name="celeba", size=SIZE):
    return {s: load(name, None, size, s, 0, torch.uint8, path) for s in ("S1", "S2", "test")}


def as_released(picture):
    """Rows 29:-29 and columns 9:-9 of a picture, bicubic to 20x20, mean of the colors."""
    square = Image.fromarray(np.asarray(picture)[29:-29, 9:-9])
    return np.asarray(square.resize((SIZE, SIZE), Image.Resampling.BICUBIC)).mean(axis=2)


def test_a_folder_and_a_zip_in_any_order_give_the_same_images(celeba, data):
    archive = data / "celeba" / "img_align_celeba.zip"
    archive.parent.mkdir(parents=True)
    shutil.copy(celeba / "list_eval_partition.txt", archive.parent)
    pictures = sorted((celeba / "img_align_celeba").iterdir(), reverse=True)
    with zipfile.ZipFile(archive, "w") as target:
        for picture in pictures:
            target.write(picture, f"img_align_celeba/{picture.name}")
    from_folder, from_zip = subsets(celeba), subsets()
    assert {s: x.shape for s, x in from_folder.items()} == {
        "S1": (450, 1, SIZE, SIZE),
        "S2": (450, 1, SIZE, SIZE),
        "test": (100, 1, SIZE, SIZE),
    }
    everything = torch.cat(list(from_folder.values())).flatten(1)
    assert len(everything.unique(dim=0)) == COUNT
    assert all(torch.equal(from_folder[s], from_zip[s]) for s in from_folder)
    # The test subset is the test partition, in the order of its names.
    last = [Image.open(celeba / "img_align_celeba" / f"{i:06d}.jpg") for i in (901, 1000)]
    difference = from_folder["test"][[0, -1], 0].numpy() - np.stack([*map(as_released, last)])
    assert np.abs(difference).max() <= 0.5


@pytest.mark.parametrize("suffix", ["txt", "csv"])  # as published, and as Kaggle has it
def test_the_list_of_partitions_chooses_the_test_subset(few, suffix):
    without = subsets()
    assert [len(x) for x in without.values()] == [13, 14, 3]
    lines = ["000002.jpg 2", "000001.jpg 0", "000007.jpg 2"]
    if suffix == "csv":
        lines = [line.replace(" ", ",") for line in ("image_id partition", *lines)]
    (few.parent / f"list_eval_partition.{suffix}").write_text("\n".join(lines))
    chosen = subsets()
    assert [len(x) for x in chosen.values()] == [14, 14, 2]
    for image, number in zip(chosen["test"], (2, 7), strict=True):
        expected = as_released(Image.open(few / f"{number:06d}.jpg"))
        assert np.abs(image[0].numpy() - expected).max() <= 0.5


def test_the_order_of_the_folder_does_not_matter(few, monkeypatch):
    before = subsets()
    shutil.rmtree(few.parents[2] / "cache")
    listed = files._files_of_folder
    monkeypatch.setattr(files, "_files_of_folder", lambda *place: reversed([*listed(*place)]))
    after = subsets()
    assert all(torch.equal(before[s], after[s]) for s in before)


def test_a_truncated_picture_is_named_and_left_out(celeba, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(celeba, copy, copy_function=os.link)
    damaged = copy / "img_align_celeba" / "000500.jpg"
    content = damaged.read_bytes()
    damaged.unlink()
    damaged.write_bytes(content[: len(content) // 2])
    with pytest.warns(UserWarning, match=r"^path: left out \S*000500\.jpg cannot be read: .*trunc"):
        found = subsets(copy)
    assert [len(x) for x in found.values()] == [449, 450, 100]
    subsets(copy)  # from the cache, without a warning
    (copy / "img_align_celeba" / "000700.jpg").unlink()
    (copy / "img_align_celeba" / "000700.jpg").write_bytes(b"")
    message = r"000500\.jpg .*; .*000700\.jpg .*; accepted: at most one unreadable image in 1,000"
    with pytest.raises(ValueError, match=message):
        subsets(copy)


def test_duplicates_are_removed(few):
    for i in (3, 5):
        darker = Image.open(few / f"{i:06d}.jpg").point(lambda level: level // 2 + 20)
        darker.save(few / f"{i + 500:06d}.jpg", quality=95)
    (few.parent / "list_eval_partition.txt").write_text("000505.jpg 2\n000030.jpg 2\n")
    found = subsets()
    # 503 repeats 3 and 505, although it is for tests, repeats 5.
    assert [len(x) for x in found.values()] == [14, 15, 1]


def test_photographs_are_read_in_color_if_asked_for(few):
    gray = load("celeba", 2, SIZE, "test", dtype=torch.uint8)
    color = load("celeba", 2, SIZE, "test", dtype=torch.uint8, channels=3)
    shuffled = load("shuffled-celeba", 2, SIZE, "test", dtype=torch.uint8, channels=3)
    assert color.shape == (2, 3, SIZE, SIZE) and gray.shape == (2, 1, SIZE, SIZE)
    assert (color.float().mean(1, keepdim=True) - gray).abs().max() <= 0.5
    square = np.asarray(Image.open(few / "000028.jpg"))[29:-29, 9:-9]
    expected = Image.fromarray(square).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    assert torch.equal(color[0], torch.tensor(np.array(expected)).movedim(2, 0))
    assert torch.equal(shuffled.flatten(2).sort(2).values, color.flatten(2).sort(2).values)


def test_pictures_are_read_once(few, monkeypatch):
    before = subsets()
    with monkeypatch.context() as patch:
        patch.setattr(Photographs, "_read", None)
        after = subsets()
    assert all(torch.equal(before[s], after[s]) for s in before)
    photograph(99).save(few / "000001.jpg")
    assert any(not torch.equal(x, before[s]) for s, x in subsets().items())


def test_other_pictures_are_refused(few):
    photograph(0, 178, 217).save(few / "000004.jpg")
    with pytest.raises(
        ValueError, match=r"000004\.jpg has 178x217 pixels; accepted: 178x218, as all of celeba"
    ):
        subsets()


def test_bedrooms_are_cut_at_the_upper_left(data):
    (data / "lsun_bedroom" / "0" / "1").mkdir(parents=True)
    for i in range(10):
        photograph(i, 300 + i, 256).save(data / "lsun_bedroom" / "0" / "1" / f"{i}.webp")
    found = subsets(name="lsun_bedroom", size=32)
    assert [len(x) for x in found.values()] == [4, 5, 1]
    with Image.open(data / "lsun_bedroom" / "0" / "1" / "9.webp") as picture:
        square = picture.convert("RGB").crop((0, 0, 256, 256)).resize((32, 32), Image.BICUBIC)
    expected = np.asarray(square).mean(axis=2)
    assert np.abs(found["test"][0, 0].numpy() - expected).max() <= 0.5
    photograph(0, 255, 300).save(data / "lsun_bedroom" / "small.webp")
    with pytest.raises(ValueError, match=r"small\.webp has 255x300 .*; accepted: at least 256 a"):
        subsets(name="lsun_bedroom")


def test_bedrooms_are_read_from_their_database(data, monkeypatch):
    exported, place = data / "exported", data / "lsun" / "bedroom_train_lmdb"
    exported.mkdir(parents=True)
    place.mkdir(parents=True)
    with lmdb.open(str(place), map_size=2**24) as environment, environment.begin(write=True) as to:
        for i in range(20):
            file = exported / f"{i:040x}.webp"
            photograph(i, 300, 256).save(file)
            to.put(file.stem.encode(), file.read_bytes())
    found, expected = subsets(name="lsun_bedroom"), subsets(exported, "lsun_bedroom")
    assert [len(x) for x in found.values()] == [9, 9, 2]
    assert all(torch.equal(x, expected[subset]) for subset, x in found.items())
    first = replace(PHOTOGRAPHS["lsun_bedroom"], most=10)  # by name, of three million
    assert torch.equal(first(exported, None, SIZE, "test", 0), first(place, 1, SIZE, "test", 0))
    last = Image.open(exported / f"{9:040x}.webp").convert("RGB").crop((0, 0, 256, 256))
    square = np.asarray(last.resize((SIZE, SIZE), Image.BICUBIC)).mean(axis=2)
    assert np.abs(first(place, 1, SIZE, "test", 0)[0, 0].numpy() - square).max() <= 0.5


def test_celeba_hq_is_used_whole(data):
    (data / "celeba_hq").mkdir(parents=True)
    for i in range(10):
        photograph(i, 64, 64).save(data / "celeba_hq" / f"{i}.png")
    expected = np.asarray(photograph(9, 64, 64).resize((16, 16), Image.BICUBIC)).mean(axis=2)
    found = subsets(name="celeba_hq", size=16)["test"]
    assert np.abs(found[0, 0].numpy() - expected).max() <= 0.5
    with pytest.raises(ValueError, match=r"0\.png has 64x64 pixels; accepted: squares from 65"):
        subsets(name="celeba_hq", size=65)


def test_celeba_hq_is_tested_on_its_own_folder(data):
    for i in range(12):
        place = data / "celeba_hq_256" / ("train" if i % 3 else "val") / ("male", "female")[i % 2]
        place.mkdir(parents=True, exist_ok=True)
        photograph(i, 64, 64).save(place / f"{i}.png")
    found = subsets(name="celeba_hq", size=16)
    assert [len(x) for x in found.values()] == [4, 4, 4]
    test = {x.numpy().tobytes() for x in found["test"]}
    for i in range(12):
        square = photograph(i, 64, 64).resize((16, 16), Image.BICUBIC)
        gray = ((np.asarray(square).sum(axis=2, dtype=int) + 1) // 3).astype(np.uint8)
        assert (gray.tobytes() in test) == (i % 3 == 0)


def test_a_data_set_that_is_not_there_says_where_it_belongs(data):
    with pytest.raises(
        FileNotFoundError, match=r"^path: the class 'celeba' is not in .*data .GAHB"
    ):
        load("celeba", 1, 80)
    with pytest.raises(FileNotFoundError, match="path: there is nothing at"):
        load("celeba", 1, 80, path=data / "nothing")
    with pytest.raises(ValueError, match="size: 161 is not a whole number from 8 to 160"):
        load("celeba", 1, 161)


def test_more_images_than_there_are_is_an_error(few):
    with pytest.raises(ValueError, match=r"n: 14 is more than the 13 images of subset S1 .* 27 "):
        load("celeba", 14, SIZE)


def test_shuffled_faces_are_the_same_faces(few):
    plain, shuffled = subsets(), subsets(name="shuffled-celeba")
    for subset, x in plain.items():
        assert not torch.equal(x, shuffled[subset])
        assert torch.equal(x.flatten(1).sort().values, shuffled[subset].flatten(1).sort().values)


def test_halves_of_celeba_can_hold_100_000_images_each():
    files = [File(f"{i:06d}.jpg", "", bytes) for i in range(1, 202_600)]
    partition = {f"{i:06d}" for i in range(182_638, 202_600)}
    ordered, held_out = _test_files_last(files, partition)
    assert (len(ordered) - held_out) // 2 >= 100_000
    assert {ordered[i].name[:6] for i in range(-held_out, 0)} <= partition
    assert set(PHOTOGRAPHS) <= set(CLASSES)
