"""A user's own pictures: read in order, without near-duplicates, split into disjoint subsets."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import lmdb
import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler, UNet2DModel
from PIL import Image

import gahb
from gahb.book import figures
from gahb.images import file_names, folder, load, pick
from gahb.images.files import CONVERTED, DATABASES
from gahb.images.folder import read_picture, read_pictures
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


def subsets(path, n=None, seed=0, size=SIZE):
    """Images of S1, S2 and test, all or the first n of the first two."""
    counts = {"S1": n, "S2": n, "test": None}
    return {
        subset: load("folder", count, size, subset, seed, torch.uint8, path)
        for subset, count in counts.items()
    }


def drawn(path, number, side=SIZE, mode="RGB"):
    """Write a picture of noise, which its number fixes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (side, side, 3) if mode == "RGB" else (side, side)
    noise = np.random.RandomState(number).randint(0, 256, shape, dtype=np.uint8)
    Image.fromarray(noise).save(path)
    return torch.tensor(read_picture(path.name, path.read_bytes(), min(side, SIZE)))


def everything(path, size=SIZE, channels=1, duplicates=0.95):
    """All distinct images, those of no subset included, in the order of their files' names."""
    found = folder._distinct(path, size, channels, duplicates)
    return dict(sorted(zip(found.names, found.images, strict=True)))


def test_subsets_are_disjoint_and_of_every_picture(pictures):
    found = subsets(pictures)
    rows = torch.cat(list(found.values())).flatten(1)
    assert len(rows.unique(dim=0)) == len(rows)
    assert len(found["S1"]) == len(found["S2"]) > 5 and len(found["test"]) > 0
    every = everything(pictures)
    files = sorted(pictures.rglob("*.png"))
    read = [read_picture(file.name, file.read_bytes(), SIZE) for file in files]
    expected = torch.from_numpy(np.stack(read))[:, None]
    names = [file.relative_to(pictures).as_posix() for file in files]
    assert list(every) == names and torch.equal(torch.stack([*every.values()]), expected)
    for subset, chosen in file_names(pictures, SIZE).items():
        assert torch.equal(found[subset], torch.stack([every[name] for name in chosen]))


def test_the_first_images_do_not_depend_on_how_many_are_asked_for(pictures):
    many, few = subsets(pictures), subsets(pictures, n=4)
    assert len(many["S1"]) > 4 and len(many["S2"]) > 4
    assert torch.equal(many["S1"][:4], few["S1"]) and torch.equal(many["S2"][:4], few["S2"])


def test_the_seed_chooses_the_split(pictures):
    assert not torch.equal(subsets(pictures)["S1"], subsets(pictures, seed=1)["S1"])


def test_a_zip_of_the_folder_gives_the_same_images(pictures, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "a"), "zip", tmp_path, "pictures")
    from_folder, from_zip = subsets(pictures), subsets(archive)
    assert all(torch.equal(from_folder[subset], from_zip[subset]) for subset in from_folder)


def test_a_folder_is_read_where_nothing_can_be_kept(pictures, tmp_path, monkeypatch):
    monkeypatch.setenv("GAHB_CACHE", str(tmp_path / "file"))
    (tmp_path / "file").write_bytes(b"")
    with pytest.warns(UserWarning, match="will be read again each time"):
        images = load("folder", 4, SIZE, path=pictures)
    assert len(images) == 4


def test_old_sets_are_removed_and_nothing_else(pictures, tmp_path, monkeypatch):
    monkeypatch.setenv("GAHB_CACHE", str(tmp_path))
    monkeypatch.setattr(folder, "SETS_KEPT", 1)
    foreign = [tmp_path / "images" / f"folder-{i:02d}.png" for i in range(3)]
    foreign[0].parent.mkdir()
    for file in foreign:
        file.write_bytes(b"")
    for size in (8, 9):
        subsets(pictures, size=size)
    assert all(file.exists() for file in foreign)
    assert len(list(foreign[0].parent.glob("folder-v*.safetensors"))) == 1


def test_near_duplicates_are_removed_before_the_split(pictures):
    original = Image.open(pictures / "03.png")
    original.point(lambda level: level // 2 + 10).save(pictures / "03-darker.png")
    original.save(pictures / "more" / "03.jpg", quality=95)
    rows = torch.stack([*everything(pictures).values()]).flatten(1)
    assert len(rows) == 20
    cosine = torch.corrcoef(rows.double()) - torch.eye(20)
    assert cosine.max() < 0.95


def test_more_images_than_a_subset_has_are_refused(pictures):
    have = len(subsets(pictures)["S1"])
    message = rf"n: {have + 1} is more than the {have} images of subset S1 .* 20 dist"
    with pytest.raises(ValueError, match=message):
        load("folder", have + 1, SIZE, path=pictures)


def test_what_cannot_be_used_is_left_out_in_one_line(pictures):
    before = everything(pictures)
    (pictures / "more" / "bad.png").write_bytes(b"words")
    drawn(pictures / "small.png", 99, side=SIZE - 1)
    (pictures / "notes.txt").write_text("no picture")
    (pictures / "a.heic").write_bytes(b"of a telephone")
    with pytest.warns(UserWarning, match="left out") as caught:
        after = everything(pictures)
    assert len(caught) == 1
    said = str(caught[0].message)
    assert said.startswith("path: left out .heic (1); .txt (1); the image more/bad.png cannot")
    assert said.endswith("size: 16 is more than the image small.png has, 15x15 pixels")
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)
    everything(pictures)  # from the cache, without a warning


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"words", None])
def test_pictures_are_refused_where_most_cannot_be_read(pictures, content, cache):
    for number in range(11):
        file = next(pictures.rglob(f"{number:02d}.png"))
        file.write_bytes(file.read_bytes()[:-200] if content is None else content)
    message = r"^path: the image 00\.png cannot be read.*; so for 11 of 20; accepted: at most half"
    with pytest.raises(ValueError, match=message):
        load("folder", 1, SIZE, path=pictures)
    assert not cache.exists()
    for number in range(1):
        drawn(pictures / f"{number:02d}.png", number)
    with pytest.warns(UserWarning, match=r"01\.png cannot .*; 7 more$"):
        assert len(everything(pictures)) == 10


def test_pictures_smaller_than_the_size_are_refused(pictures):
    with pytest.raises(ValueError, match=r"size: 25 is more than the image 00\.png has, 32x24"):
        load("folder", 1, 25, path=pictures)


def test_places_without_pictures_are_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(ValueError, match=r"has no images; accepted: files that Pillow reads, such"):
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


@pytest.mark.parametrize(
    "suffix", [".avif", ".bmp", ".gif", ".jfif", ".jp2", ".JPG", ".ppm", ".tga", ".tiff", ".webp"]
)
def test_what_pillow_reads_is_read(pictures, suffix):
    flat = Image.new("RGB", (SIZE, SIZE), (40, 40, 40))
    flat.save(pictures / f"flat{suffix}")
    read = everything(pictures)[f"flat{suffix}"]
    assert len(everything(pictures)) == 21 and (read.int() - 40).abs().max() <= 2


@pytest.mark.parametrize("suffix", [".pdf", ".eps", ".h5", ".mpg"])
def test_documents_are_no_pictures(pictures, suffix):
    (pictures / f"a{suffix}").write_bytes(b"a document")
    with pytest.warns(UserWarning, match=rf"^path: left out \{suffix} \(1\)$"):
        assert len(everything(pictures)) == 20


def test_modes_become_gray_levels(tmp_path):
    deep = Image.fromarray(np.full((8, 8), 257 * 200, dtype=np.uint16))
    assert (read_picture("a", saved(deep, tmp_path), 8) == 257 * 200).all()
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
    assert len(read["S1"]) > 3
    assert read["S1"].shape[1:] == (3, 24, 24)
    every = everything(pictures, 24, channels=3)
    first = np.array(Image.open(pictures / "00.png"))[:, 4:28]  # its center square
    assert len(every) == 20
    assert torch.equal(every["00.png"], torch.from_numpy(first).movedim(2, 0))
    gray = load("folder", 4, 24, path=pictures)
    assert gray.shape == (4, 1, 24, 24)
    assert torch.equal(pick("folder", [3, 1], 24, **options), read["S1"][[3, 1]])
    clear = Image.new("LA", (8, 8), (0, 0))
    assert (read_picture("a", saved(clear, tmp_path), 8, channels=3) == 255).all()
    deep = Image.fromarray(np.full((8, 8), 257 * 200, dtype=np.uint16))
    assert (read_picture("a", saved(deep, tmp_path), 8, channels=3) == 257 * 200).all()
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


# --- Subsets ---


def test_more_pictures_move_none(pictures):
    before = file_names(pictures, SIZE)
    for number in range(20, 40):
        drawn(pictures / f"{number % 7}" / f"{number}.png", number)
    after = file_names(pictures, SIZE)
    subset_of = {name: subset for subset, names in after.items() for name in names}
    for subset, names in before.items():
        # The larger of S1 and S2 is cut.
        assert {subset_of.get(name, subset) for name in names} == {subset}
        assert [name for name in after[subset] if name in names] == names
    assert 30 < sum(map(len, after.values())) <= 40
    # Neither does another name, or another size.
    (pictures / "00.png").rename(pictures / "more" / "zero.png")
    moved = {"00.png": "more/zero.png"}
    for size in (8, 12, SIZE):
        renamed = {s: [moved.get(name, name) for name in names] for s, names in after.items()}
        assert file_names(pictures, size) == renamed


def test_a_split_deals_45_45_and_10_percent(tmp_path):
    np.save(tmp_path / "a.npy", np.random.RandomState(0).rand(1000, 8, 8))
    counts = [len(names) for names in file_names(tmp_path, 8).values()]
    assert counts[0] == counts[1]
    for count, share in zip(counts, (0.45, 0.45, 0.1), strict=True):
        assert abs(count - 1000 * share) < 4 * (1000 * share * (1 - share)) ** 0.5
    drawn_again = [set(file_names(tmp_path, 8, seed)["S1"]) for seed in (0, 1)]
    assert abs(len(drawn_again[0] & drawn_again[1]) - 1000 * 0.45**2) < 60  # independent


@pytest.mark.parametrize("names", ["train val", "Training/train TEST", "train valid validation"])
def test_folders_for_training_and_tests_are_kept_apart(tmp_path, names):
    training, *tests = names.split()
    for number in range(24):
        drawn(tmp_path / "set" / training / f"class{number % 2}" / f"{number}.png", number)
    for number in range(24, 28):
        drawn(tmp_path / "set" / tests[number % len(tests)] / f"{number}.png", number)
    # Near-duplicates of training pictures leave the test set, whatever the order of names.
    shutil.copy(next(tmp_path.rglob("3.png")), tmp_path / "set" / tests[0] / "0.png")
    drawn(tmp_path / "set" / "other" / "0.png", 99)
    with pytest.warns(UserWarning, match="left out 1 beside the folders of subsets"):
        found = file_names(tmp_path, SIZE)
    stems = {subset: {int(n.split("/")[-1][:-4]) for n in found[subset]} for subset in found}
    assert stems["test"] == {24, 25, 26, 27}
    assert stems["S1"] | stems["S2"] <= set(range(24)) and not stems["S1"] & stems["S2"]
    assert len(stems["S1"]) == len(stems["S2"]) > 4


def test_two_folders_are_the_two_training_sets(tmp_path):
    tmp_path = tmp_path / "sets"
    for number in range(9):
        drawn(tmp_path / ("S1" if number < 6 else "s2") / f"{number}.png", number)
    assert {s: len(names) for s, names in file_names(tmp_path, SIZE).items()} == {
        "S1": 6,
        "S2": 3,
        "test": 0,
    }
    with pytest.raises(ValueError, match="has 9 distinct images, none for test"):
        load("folder", None, SIZE, "test", path=tmp_path)
    drawn(tmp_path / "test" / "a.png", 10)
    assert torch.equal(
        load("folder", None, SIZE, "test", 0, torch.uint8, tmp_path)[0, 0],
        drawn(tmp_path / "test" / "a.png", 10),
    )


def test_near_duplicates_can_stay_and_are_named_where_removed(pictures, monkeypatch, capsys):
    shutil.copy(pictures / "03.png", pictures / "03-again.png")
    original = Image.open(pictures / "04.png").convert("L").resize((SIZE, SIZE))
    noise = np.random.RandomState(9).normal(0, 5, (SIZE, SIZE))
    near = np.clip(np.asarray(original) + noise, 0, 255).astype(np.uint8)
    original.save(pictures / "04.png")
    Image.fromarray(near).save(pictures / "04-near.png")
    cosine = np.corrcoef(near.ravel(), np.asarray(original).ravel())[0, 1]
    assert 0.95 < cosine < 0.999
    monkeypatch.setenv("CI", "1")
    assert len(everything(pictures, duplicates=1)) == 22
    assert len(everything(pictures, duplicates=0.999)) == 21
    assert capsys.readouterr().err == ""  # quiet, as progress bars are
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    assert len(everything(pictures)) == 20
    assert capsys.readouterr().err == (
        "gahb: pictures: 2 of 22 images are near-duplicates and left out: 03.png, 04.png"
        " (centered cosine above 0.95; duplicates=1 keeps all)\n"
    )
    with pytest.raises(ValueError, match=r"^duplicates: 0\.9; accepted: 0\.95 for the class 'leav"):
        load("leaves", 1, 8, duplicates=0.9)
    with pytest.raises(ValueError, match=r"^duplicates: 2 is not a finite number in \[-1, 1\]"):
        load("folder", 1, 8, path=pictures, duplicates=2)


# --- Places ---


def test_linked_folders_are_followed_and_loops_are_not(pictures, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    drawn(elsewhere / "a.png", 50)
    (pictures / "linked").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(pictures)
    (pictures / "self").symlink_to(pictures)
    (pictures / "nothing").symlink_to(tmp_path / "nothing")
    names = sorted(everything(pictures))
    assert len(names) == 21 and "linked/a.png" in names
    only = tmp_path / "only"
    only.mkdir()
    (only / "class").symlink_to(elsewhere)
    assert "class/a.png" in everything(only)


def test_names_of_any_bytes(pictures):
    name = os.fsdecode(b"caf\xe9.png")
    try:
        (pictures / "00.png").rename(pictures / name)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert name in everything(pictures)


# --- Levels of more than 8 bits, and arrays ---


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("suffix", [".png", ".tiff", ".npy", ".pgm"])
@pytest.mark.parametrize("channels", [1, 3])
def test_12_and_16_bits(tmp_path, bits, suffix, channels):
    levels = np.random.RandomState(0).randint(0, 2**bits, (30, 8, 8)).astype(np.uint16)
    for i, each in enumerate(levels):
        file = tmp_path / f"{i:02d}{suffix}"
        if suffix == ".npy":
            np.save(file, each)
        elif suffix == ".pgm":
            file.write_bytes(f"P5 8 8 {2**bits - 1}\n".encode() + each.astype(">u2").tobytes())
        else:
            Image.fromarray(each).save(file)
    if bits == 12 and suffix != ".pgm":  # which says how many
        with pytest.warns(UserWarning, match=r"^path: no level .* 4095: read as 12 bits$"):
            read = read_pictures(tmp_path, channels=channels)
    else:
        read = read_pictures(tmp_path, channels=channels)
    expected = torch.from_numpy(levels.astype(float) / (2**bits - 1) * 255)[:, None]
    assert read.shape == (30, channels, 8, 8)
    assert (read - expected).abs().max() < 0.51


@pytest.mark.parametrize("layout", ["NHW", "NHWC", "NCHW", "N1HW", "NHW1"])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "int64", "bool"])
def test_arrays_are_read(tmp_path, layout, dtype):
    color = "C" in layout
    shape = (20, 9, 8, 3) if color else (20, 9, 8)
    levels = np.random.RandomState(0).randint(0, 256, shape)
    if dtype == "bool":
        levels = 255 * (levels > 127)
    array = levels / 255 if dtype in ("float32", "bool") else levels
    array = array.astype(dtype)
    if layout == "NCHW":
        array = np.moveaxis(array, 3, 1)
    elif "1" in layout:
        array = np.expand_dims(array, layout.index("1"))
    file = tmp_path / "a.npy"
    np.save(file, array)
    read = read_pictures(file, 8, channels=3 if color else 1)
    expected = torch.from_numpy(levels[:, :8])  # the center square begins at (9 - 8) // 2
    expected = expected.movedim(3, 1) if color else expected[:, None]
    assert torch.equal(read, expected.byte())
    assert len(everything(file, 8)) == 20
    (tmp_path / "folder").mkdir()
    file.rename(tmp_path / "folder" / "a.npy")
    assert torch.equal(read_pictures(tmp_path / "folder", 8, channels=read.shape[1]), read)


def test_arrays_with_parts_are_read(tmp_path):
    random = np.random.RandomState(0)
    arrays = {
        f"{part}_{what}": random.randint(0, 256, (count, *shape), dtype=np.uint8)
        for part, count in {"train": 40, "val": 3, "test": 5}.items()
        for what, shape in {"images": (8, 8), "labels": (1,)}.items()
    }
    np.savez(tmp_path / "set.npz", **arrays)
    found = file_names(tmp_path / "set.npz", 8)
    assert len(found["S1"]) == len(found["S2"]) > 10 and len(found["test"]) == 8
    test = load("folder", None, 8, "test", 0, torch.uint8, tmp_path / "set.npz")
    expected = [x.tobytes() for part in ("val", "test") for x in arrays[f"{part}_images"]]
    assert {x.numpy().tobytes() for x in test} == set(expected)


@pytest.mark.parametrize(
    "array, message",
    [
        (
            np.linspace(-1, 1, 640).reshape(8, 8, 10).T,
            r"levels float64 from -1 to .*; accepted: 0 to 1;",
        ),
        (np.full((3, 9, 8, 8), np.nan), "has no images; accepted: files that Pillow reads"),
        (np.full((4, 8, 8), np.nan), r"levels float64 from nan to nan; accepted: 0 to 1;"),
        (
            np.arange(640).reshape(10, 8, 8) * 9,
            r"levels int64 from \d+ to \d+; accepted: 0 to 255;",
        ),
        (np.array([{}]), "has no images"),
    ],
)
def test_other_arrays_are_refused(tmp_path, array, message):
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(ValueError, match=rf"^path: .*{message}"):
        load("folder", None, 8, path=tmp_path / "a.npy")


@pytest.mark.parametrize("suffix", sorted(CONVERTED.keys() - DATABASES))
def test_what_others_keep_pictures_in_is_named_with_a_way_out(tmp_path, suffix):
    file = tmp_path / f"a{suffix}"
    file.write_bytes(b"of another library")
    for path in (file, tmp_path):
        with pytest.raises(
            ValueError, match=r"^path: .* has no images; .*; make some by "
        ) as error:
            load("folder", None, 8, path=path)
        assert CONVERTED[suffix] in str(error.value)


def database(path, files, **options):
    """Write files (key, content) as an lmdb database, and return its file."""
    opened = lmdb.open(str(path), map_size=2**22, **options)
    with opened as environment, environment.begin(write=True) as values:
        for key, content in files.items():
            values.put(key, content)
    return path / "data.mdb" if path.is_dir() else path


def test_databases_are_read_as_the_files_that_they_hold(pictures, tmp_path):
    files = sorted(pictures.rglob("*.png"))
    contents = {file.stem.encode(): file.read_bytes() for file in files}
    folder = tmp_path / "bedroom_train_lmdb"
    place = database(folder, contents)
    single = database(tmp_path / "a.lmdb", contents, subdir=False)
    expected = read_pictures(pictures)
    for path in (folder, place, single):
        assert torch.equal(read_pictures(path), expected)
    assert list(everything(folder)) == [f"{file.stem}.webp" for file in files]
    assert next(iter(everything(tmp_path / "a.lmdb"))) == "a/00.webp"
    before = subsets(pictures)
    assert all(torch.equal(x, before[subset]) for subset, x in subsets(folder).items())
    lines = {b"\xff\x00": files[0].read_bytes(), b"train/a.PNG": files[1].read_bytes()}
    lines |= {b"length": b"2", b"val/b.jpg": files[2].read_bytes()}
    with pytest.warns(UserWarning, match=r"^path: left out 2 beside the folders of subsets$"):
        assert file_names(database(tmp_path / "more", lines), SIZE)["test"] == ["val/b.jpg"]
    with pytest.warns(UserWarning, match=r"^path: left out the image length.webp cannot be read"):
        assert len(everything(database(tmp_path / "b", {**contents, b"length": b"20"}))) == 20


def test_databases_that_cannot_be_read_say_why(pictures, tmp_path, monkeypatch):
    place = database(tmp_path / "set", {b"a": os.urandom(50_000)})
    content = place.read_bytes()
    place.write_bytes(content[:20_000])
    with pytest.raises(ValueError, match=r"data.mdb is cut off at 20,000 bytes; accepted: all 6"):
        read_pictures(tmp_path / "set")
    place.write_bytes(b"of another library" * 1000)
    with pytest.raises(ValueError, match=r"^path: lmdb cannot read .*data.mdb: .*not an LMDB file"):
        read_pictures(tmp_path / "set")
    archive = shutil.make_archive(str(tmp_path / "set"), "zip", tmp_path / "set")
    with pytest.raises(ValueError, match=r"has no images; .*; make some by zipfile"):
        read_pictures(archive)
    monkeypatch.setitem(sys.modules, "lmdb", None)
    with pytest.raises(ValueError, match=r"^path: .*lmdb is missing; run: pip install 'gahb\[lmd"):
        read_pictures(tmp_path / "set")
    assert len(read_pictures(pictures)) == 20


def test_the_way_out_of_a_tensor_works(tmp_path, monkeypatch):
    x = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    monkeypatch.chdir(tmp_path)
    torch.save(x, "a.pt")
    exec(CONVERTED[".pt"], {"np": np, "torch": torch})
    read = read_pictures("a.npy").float() / 255
    assert (read - x).abs().max() < 0.51 / 255


def test_ten_lines_lead_from_color_pictures_to_report_and_basis(tmp_path, monkeypatch, capsys):
    """The lines of the chapter, with pictures of 8x8 pixels."""
    page = Path(__file__).parents[1] / "book" / "your_own.md"
    [lines] = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert len(lines.splitlines()) <= 10 and "32, s" in lines
    for number in range(40):
        drawn(tmp_path / "pictures" / f"{number}.png", number, side=9)
    blocks = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}
    torch.manual_seed(0)
    nets = [
        UNet2DModel(
            block_out_channels=(8, 8), layers_per_block=1, norm_num_groups=4, **blocks
        ).eval()
        for _ in range(2)
    ]
    names = {"gahb": gahb, "figures": figures, "scheduler": DDPMScheduler(), "nets": nets}
    monkeypatch.chdir(tmp_path)
    exec(lines.replace("32, s", "8, s"), names)
    assert names["report"].verdict == "not a denoiser"  # they are untrained
    assert "not a denoiser" in capsys.readouterr().out
    assert (tmp_path / "report.html").stat().st_size > 10_000
    assert names["basis"].eigenvectors.shape == (192, 3, 8, 8)
    assert len(names["images"][0]) == len(names["images"][1]) > 10


def test_pixels_are_averaged_by_the_area_that_they_share(tmp_path):
    levels = np.random.default_rng(0).integers(0, 256, (30, 30), dtype=np.uint8)
    read = read_picture("a", saved(Image.fromarray(levels), tmp_path), 16)
    parts = np.kron(levels.astype(float), np.ones((16, 16))).reshape(16, 30, 16, 30)
    assert (read == np.rint(parts.mean(axis=(1, 3)))).all()
