"""Damaged files, killed writers, full disks: each is one line that names file and remedy."""

import io
import os
import pickle
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest
import torch
from PIL import Image

import gahb
from gahb import basis, settings
from gahb.__main__ import main
from gahb.book import artifacts as kept
from gahb.book import figures, recipes, scorecard
from gahb.book import variance as variances
from gahb.images import folder as folders
from gahb.metrics import Curve, Estimate
from gahb.optimal import Gaussian
from gahb.settings import DamagedError, read_json, write_json
from gahb.training import History, loop
from gahb.training.record import CHECKPOINT, LOCK, LOG, MANIFEST, WEIGHTS, sha256

NAME = "faces-unet-n10-s1"
VARIANCE, NUMBERS, CARD = "variance/faces-unet-n10.json", "measured/page.json", "scorecard.json"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Artifacts of the smoke edition on leaves, whole: two trainings, and what is measured."""
    folder = tmp_path_factory.mktemp("whole")
    every = recipes.every("smoke")
    names = (NAME, NAME.replace("s1", "s2"))
    known = {name: every[name].but(images="leaves", updates=100) for name in names}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipes, "every", lambda edition=None: known)
        patch.setattr(loop, "FINAL_IMAGES", 8)
        patch.setattr(loop, "SNAPSHOT_IMAGES", 8)
        patch.setattr(kept, "FINAL_IMAGES", 8)
        patch.setitem(variances.SAMPLES, "smoke", 2)
        patch.setenv("GAHB_EDITION", "smoke")
        patch.setenv("GAHB_ARTIFACTS", str(folder / "artifacts"))
        gahb.variance("faces-unet", 10)
        gahb.record("page", number=1.25)
        scorecard.write(scorecard.rows())
        yield folder / "artifacts"


@pytest.fixture
def edition(whole, tmp_path, monkeypatch):
    """The folder of an edition of one's own, in which anything may be broken."""
    monkeypatch.setenv("GAHB_ARTIFACTS", str(shutil.copytree(whole, tmp_path / "artifacts")))
    return tmp_path / "artifacts" / "smoke"


def truncated(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def emptied(file):
    file.write_bytes(b"")


def garbled(file):
    file.write_bytes(b"\xff\x00" + file.read_bytes()[2:])


def flipped(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)


def renumbered(file):
    """Change one digit, so that it is still what it was in kind."""
    text = re.sub(
        rb"(\d\.\d)(\d)", lambda m: m[1] + b"%d" % ((int(m[2]) + 5) % 10), file.read_bytes()
    )
    assert text != file.read_bytes()
    file.write_bytes(text)


def nested(file):
    file.write_bytes(b"[" * 100_000)


def replaced(file):
    file.write_bytes(b"null" if file.suffix == ".json" else b"{}")


def removed(file):
    file.unlink()


FILES = [f"{NAME}/{file}" for file in (WEIGHTS, LOG, MANIFEST)] + [VARIANCE, NUMBERS, CARD]
DAMAGES = [
    (file, damage)
    for file in FILES
    for damage in (truncated, emptied, garbled, flipped, renumbered, nested, replaced, removed)
    if not (damage is removed and file.endswith(".json"))  # then there is none
    and not (damage is renumbered and file.endswith((".safetensors", CARD)))  # has no digits
    and not (damage is replaced and not file.startswith(NAME))  # nothing, as before it was measured
]


def command_in(line):
    """Return the command that a line ends with."""
    return re.search(r"; run: (.*)$", line)[1]


def run(command):
    """Do what the command says, here."""
    program, *arguments = shlex.split(command, comments=True)
    if program == "rm":
        Path(*arguments).unlink()
    else:
        assert (program, *arguments[:2]) == ("python", "-m", "gahb")
        assert main(arguments[2:]) == 0


@pytest.mark.parametrize(("file", "damage"), DAMAGES, ids=lambda x: getattr(x, "__name__", x))
def test_a_damage_is_one_line_whose_command_mends_it(edition, capsys, file, damage):
    damage(edition / file)
    assert main(["verify"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5  # two trainings, and three measurements
    (bad,) = (line for line in lines if "BAD" in line)
    assert Path(file).name in bad.replace(": BAD", "")
    assert main(["list"]) == main(["status"]) == 0
    shown = capsys.readouterr().out
    assert shown.count(NAME) >= 2 and f"{NAME.replace('s1', 's2')} " in shown
    run(command_in(bad))
    capsys.readouterr()
    assert main(["verify"]) == 0, capsys.readouterr().out


@pytest.mark.parametrize("damage", [truncated, garbled, renumbered])
@pytest.mark.parametrize(
    ("file", "read"),
    [
        (f"{NAME}/{MANIFEST}", lambda: gahb.load(NAME)),
        (f"{NAME}/{LOG}", lambda: kept.history(NAME)),
        (VARIANCE, lambda: gahb.variance("faces-unet", 10)),
        (NUMBERS, lambda: scorecard.measured("page")),
    ],
    ids=["load", "history", "variance", "read"],
)
def test_whoever_reads_a_damaged_file_is_told_the_command(edition, file, read, damage):
    damage(edition / file)
    with pytest.raises(DamagedError, match=rf"^\S+: {Path(file).name} .*; run: \w+ [^\n]+$"):
        read()


def test_a_chapter_records_its_numbers_over_damaged_ones(edition):
    truncated(edition / NUMBERS)
    gahb.record("page", number=2.5)
    assert scorecard.measured("page")[""]["number"].value == 2.5


@pytest.mark.parametrize("poison", [torch.nan, None])
def test_weights_that_fit_their_checksum_are_looked_at(edition, capsys, poison):
    weights = gahb.training.record.load_file(edition / NAME / WEIGHTS)
    weights["middle.0.norm.gamma"] *= poison or 1
    if poison is None:
        del weights["middle.0.norm.gamma"]
    (edition / NAME / WEIGHTS).write_bytes(gahb.training.record.save(weights))
    manifest = read_json(edition / NAME / MANIFEST)
    manifest["sha256"][WEIGHTS] = sha256(edition / NAME / WEIGHTS)
    write_json(edition / NAME / MANIFEST, manifest)
    assert main(["verify"]) == 1
    assert f"{NAME}: BAD: {WEIGHTS} holds " in capsys.readouterr().out
    assert main(["train", NAME]) == 2
    error = capsys.readouterr().err
    assert WEIGHTS in error and error.count("\n") == 1
    run(command_in(error.strip()))


@pytest.mark.parametrize(
    ("part", "value"), [("train", float("nan")), ("input_psnr", 7.0), ("test", None)]
)
def test_measurements_in_a_manifest_are_compared_each(edition, capsys, part, value):
    manifest = read_json(edition / NAME / MANIFEST)
    manifest["measured"][part][2:3] = [] if value is None else [value]
    write_json(edition / NAME / MANIFEST, manifest)
    assert main(["verify", NAME]) == 1
    assert "differs by" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("shipped", "damage"),
    [
        ("variance/faces-unet-n1.json", renumbered),
        ("dynamics/faces-unet-n10-s1-map.safetensors", flipped),
    ],
)
def test_what_was_shipped_is_held_to_its_checksum_and_comes_back(
    tmp_path, monkeypatch, shipped, damage
):
    """A checkout brings its files back by git, an installed package by fetching them again."""
    monkeypatch.delenv("GAHB_ARTIFACTS", raising=False)
    monkeypatch.setenv("GAHB_EDITION", "laptop")
    there = settings.artifacts_folder() / "laptop" / shipped
    home = tmp_path / "artifacts"
    file = home / "laptop" / shipped
    file.parent.mkdir(parents=True)
    file.write_bytes(there.read_bytes())
    for checkout, command in ((tmp_path, f"git -C {tmp_path} checkout HEAD -- "), (None, "rm -r ")):
        monkeypatch.setattr(settings, "checkout", lambda found=checkout: found)
        monkeypatch.setenv("GAHB_CACHE", str(tmp_path))
        monkeypatch.setenv("GAHB_ARTIFACTS", str(home))
        (verdict,) = kept.verify_stored("laptop")
        assert verdict.good
        damage(file)
        (verdict,) = kept.verify_stored("laptop")
        problem = verdict.problem
        assert re.search("does not have its own checksum|is no whole measurement", problem)
        assert command_in(problem) == f"{command}{file}"
        file.write_bytes(there.read_bytes())


# Checkpoints


def anything(*_):
    return {"os": os.getcwd}  # what is no plain data is not unpickled


SAYS = {"hash": 0, "update": 5}  # the hash is that of the recipe
CHECKPOINTS = {
    "empty": b"",
    "garbage": b"garbage",
    "truncated": None,
    "code": pickle.dumps(anything),
    "list": [1],
    "nothing": {},
    "lacking": {"hash": 0, "update": 5},
    "text": {"hash": 0, "update": "five"},
    "misshapen": {
        "hash": 0,
        "update": 5,
        "network": {},
        "optimizer": {},
        "log": [],
        "seconds": 0.0,
    },
}


@pytest.mark.parametrize("content", CHECKPOINTS)
def test_a_damaged_checkpoint_is_one_line_whose_command_mends_it(edition, capsys, content):
    for file in (edition / NAME).iterdir():
        file.unlink()
    path, found, recipe = edition / NAME / CHECKPOINT, CHECKPOINTS[content], recipes.get(NAME)
    if isinstance(found, bytes):
        path.write_bytes(found)
    else:
        if isinstance(found, dict) and "hash" in found:
            found = {**found, "hash": recipe.hash}
        torch.save(found, path)
        if found is None:
            truncated(path)
    assert main(["status", NAME]) == 0
    capsys.readouterr()
    assert main(["train", NAME]) == 2
    error = capsys.readouterr().err
    assert error.startswith("gahb: ") and error.count("\n") == 1 and CHECKPOINT in error
    run(command_in(error.strip()) if "; run: " in error else f"python -m gahb train {NAME} --again")
    assert main(["verify", NAME]) == 0


# Writers


def test_an_object_is_read_as_its_checksum_says_whatever_its_keys_were(tmp_path):
    write_json(tmp_path / "a.json", {"by update": {n: [0.5] for n in (9, 64, 128)}})
    assert read_json(tmp_path / "a.json") == {"by update": {n: [0.5] for n in ("9", "64", "128")}}


def test_a_file_is_synchronized_before_it_takes_its_name(tmp_path, monkeypatch):
    done = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, f=real, n=name: (done.append(n), f(*a))[1])
    write_json(tmp_path / "a.json", {})
    assert done == ["fsync", "replace"]


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_files_have_the_mode_that_is_asked_for(quick, tmp_path, mask):
    before = os.umask(mask)
    try:
        gahb.train(quick.but(updates=1), tmp_path)
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == dict.fromkeys((WEIGHTS, LOG, MANIFEST), 0o666 & ~mask)


def test_what_killed_writers_left_goes(quick, tmp_path):
    left = [
        tmp_path / f".{stem}.gahb-{'0af' * 10}00{suffix}"
        for stem, suffix in (("a", ".pt"), ("b", ""))
    ]
    for path in (*left, tmp_path / ".mine.pt"):
        path.write_text("half")
    write_json(tmp_path / "a.json", {})
    assert all(path.exists() for path in left)  # perhaps of a writer that lives
    os.utime(left[0], (0, 0))
    write_json(tmp_path / "a.json", {})
    assert [path.exists() for path in left] == [False, True]
    (tmp_path / ".mine.pt").unlink()
    (tmp_path / "a.json").unlink()
    gahb.train(quick.but(updates=1), tmp_path, again=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [LOG, MANIFEST, WEIGHTS]


def test_a_full_disk_is_named_with_the_file(quick, tmp_path, monkeypatch):
    """A limit on the size of files stands for the end of a disk."""
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY", 5)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
        with pytest.raises(OSError, match=r"cannot be written: File too large: '.*checkpoint.pt'$"):
            gahb.train(quick, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []
    gahb.train(quick.but(updates=2), tmp_path)


def test_a_second_training_of_a_recipe_waits_and_takes_the_first_one(quick, tmp_path, monkeypatch):
    recipe, waiting, begun = quick.but(updates=3), threading.Event(), []
    run_all = loop.Training.run

    def slowly(training):
        begun.append(training)
        assert waiting.wait(60) and (tmp_path / LOCK).exists()
        run_all(training)

    monkeypatch.setattr(loop.Training, "run", slowly)
    threads = [threading.Thread(target=gahb.train, args=(recipe, tmp_path)) for _ in range(2)]
    for thread in threads:
        thread.start()
        time.sleep(0.5)
    waiting.set()
    for thread in threads:
        thread.join(60)
    assert len(begun) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [LOG, MANIFEST, WEIGHTS]


def test_a_sweep_that_is_terminated_ends_its_trainings(edition):
    command = [sys.executable, "-m", "gahb", "sweep", "faces-unet-n100-s1", "--edition", "smoke"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as sweep:
        children = ["pgrep", "-P", str(sweep.pid)]
        while not (
            child := subprocess.run(children, capture_output=True, text=True).stdout.split()
        ):
            time.sleep(0.05)
        sweep.terminate()
        assert sweep.wait(60) == 128 + signal.SIGTERM
    assert not Path("/proc", child[0]).exists()


# What a caller has set, and what a training does with it


@pytest.fixture
def in_double():
    """Numbers of torch are float64 unless something is said."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def test_the_default_precision_changes_no_training(edition, in_double, tmp_path):
    gahb.train(recipes.get(NAME), tmp_path)
    assert sha256(tmp_path / WEIGHTS) == sha256(edition / NAME / WEIGHTS)
    f, x = gahb.load(NAME), gahb.images.load("leaves", 2, 16)
    assert {parameter.dtype for parameter in f.parameters()} == {torch.float32}
    assert gahb.psnr_curve(f, x, [20]).value.isfinite().all()
    assert gahb.sample(f, 2, 16, seed=0).images.dtype == torch.float32


def test_what_is_trained_or_loaded_in_inference_can_be_differentiated(quick, tmp_path):
    recipe, y = quick.but(updates=2), torch.rand(1, 1, 16, 16)
    with torch.inference_mode():
        trained = gahb.train(recipe, tmp_path)
        loaded = gahb.train(recipe, tmp_path)
        gahb.adaptive_basis(loaded, y, 2)
    for f in (trained, loaded):
        assert gahb.adaptive_basis(f, y, 2).eigenvalues.shape == (2,)


def test_a_training_that_diverges_says_so_with_its_name_and_update(quick, tmp_path, monkeypatch):
    """Weights may be finite and what they give infinite."""

    def grow(optimizer, update):
        for part, _ in optimizer.parts:
            for weight in part.param_groups[0]["params"]:
                weight.data.mul_(100)

    monkeypatch.setattr(loop.Optimizer, "step", grow)
    monkeypatch.setattr(loop, "LOG_EVERY", 1000)
    with pytest.raises(FloatingPointError, match=rf"^{quick.name}: .* not finite at update 16; "):
        gahb.train(quick, tmp_path)


def test_a_terminal_that_knows_ascii_alone_shows_the_scorecard(edition, monkeypatch):
    printed = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, encoding="ascii"))
    assert main(["scorecard"]) == 0
    assert rb"\u2013" in printed.getvalue()  # the dash of what was not measured


def test_an_empty_variable_is_none(monkeypatch):
    monkeypatch.setenv("GAHB_EDITION", "")
    assert settings.edition() == "laptop"


def test_without_a_cache_images_are_drawn_again_each_time(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("GAHB_CACHE", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match=r"again each time: .*GAHB_CACHE chooses another folder"):
        assert gahb.images.load("leaves", 2, 16).shape == (2, 1, 16, 16)


# Arguments


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: gahb.train("faces-unet-n10-s1"),
            "recipe: 'faces-unet-n10-s1' is not a gahb.Recipe",
        ),
        (
            lambda: gahb.sample(torch.nn.Identity(), 1, 8, seed=0, keep=3),
            "keep: 3 is not a sequence",
        ),
        (lambda: gahb.similarity.verdicts([1], torch.rand(2, 1, 8, 8)), "x: "),
        (lambda: gahb.similarity.verdicts(torch.rand(2, 1, 8, 8), None), "train: "),
    ],
)
def test_what_newcomers_pass_gives_one_clear_line(call, message):
    with pytest.raises((TypeError, ValueError), match=f"^{message}"):
        call()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": "x"}, "images: 'x' is unknown"),
        ({"images": ["faces"]}, r"images: \['faces'\] is unknown"),
        ({"subset": "S3"}, "subset: 'S3' is unknown"),
        ({"seed": -1}, "seed: -1 is not a whole number"),
        ({"step": None}, "step: None is not a finite number"),
    ],
)
def test_a_recipe_names_what_it_does_not_know(quick, change, message):
    with pytest.raises((ValueError, TypeError), match=f"^{message}"):
        quick.but(**change)


def test_the_path_of_a_recipe_may_be_one(quick, tmp_path):
    assert quick.but(path=tmp_path).hash == quick.but(path=str(tmp_path)).hash


@pytest.mark.parametrize("f", [None, "f", 3, torch.ones(1, 1, 8, 8)], ids=repr)
@pytest.mark.parametrize(
    "call",
    [
        lambda f, x: gahb.psnr_curve(f, x, [20]),
        lambda f, x: gahb.sample(f, 1, 8, seed=0),
        lambda f, x: gahb.adaptive_basis(f, x, 2),
        lambda f, x: gahb.sure(f, x, 0.1),
        lambda f, x: gahb.trace_jacobian(f, x),
    ],
    ids=["psnr_curve", "sample", "adaptive_basis", "sure", "trace_jacobian"],
)
def test_what_is_no_denoiser_is_named(f, call):
    with pytest.raises(TypeError, match=r"^f: \w+ is not a function f\(y\) or f\(y, sigma\)$"):
        call(f, torch.rand(1, 1, 8, 8))


@pytest.mark.parametrize(
    "f", [None, 3, "f", torch.ones(1, 1, 8, 8)], ids=lambda f: type(f).__name__
)
def test_a_report_names_which_model_is_no_denoiser(f):
    x = torch.rand(1, 1, 8, 8)
    with pytest.raises(TypeError, match=r"^model_a: .{1,80}; accepted: a denoiser, or samples"):
        gahb.memorization_report(f, f, x, x / 2)


@pytest.mark.parametrize("released", [None, 3, [], {"a": 1}, {1: torch.ones(1)}], ids=repr)
def test_what_is_no_state_dictionary_is_named(released):
    with pytest.raises(TypeError, match=r"^released: not a state dictionary; accepted: "):
        gahb.networks.from_released(released)


def zipped(path, change=lambda content: content, name="a.png"):
    """Write an archive of pictures, its bytes changed."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(8):
            picture = io.BytesIO()
            noise = torch.randint(0, 256, (16, 16), dtype=torch.uint8)
            Image.fromarray(noise.numpy()).save(picture, "png")
            archive.writestr(name.replace("a", f"a{i}"), picture.getvalue())
    path.write_bytes(change(path.read_bytes()))
    return path


def encrypted(content):
    """Set the bit that says so of the first file, in both of its headers."""
    content, there = bytearray(content), content.index(b"PK\x01\x02")
    content[6] |= 1
    content[there + 8] |= 1
    return bytes(content)


def corrupted(content):
    """Change a byte of the first file."""
    return content[:60] + bytes([content[60] ^ 255]) + content[61:]


@pytest.mark.parametrize("change", [encrypted, corrupted])
def test_a_file_that_an_archive_does_not_give_is_named(tmp_path, change, monkeypatch):
    monkeypatch.setenv("GAHB_CACHE", str(tmp_path / "cache"))
    archive = zipped(tmp_path / "a.zip", change)
    with pytest.raises(ValueError, match=r"^path: the image a0\.png cannot be read: "):
        gahb.images.read_pictures(archive)
    with pytest.warns(UserWarning, match=r"^path: left out the image a0\.png cannot be read: "):
        assert len(folders._distinct(archive, 16, 1, 0.95).names) == 7


def test_a_file_that_would_fill_the_memory_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setenv("GAHB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(gahb.images.files, "LARGEST_FILE", 100)
    with pytest.raises(ValueError, match=r"^path: the image a0\.png has \d+ bytes; accepted: at m"):
        gahb.images.load("folder", None, 16, path=zipped(tmp_path / "a.zip"))


def test_odd_places_of_pictures(tmp_path, monkeypatch):
    monkeypatch.setenv("GAHB_CACHE", str(tmp_path / "cache"))
    archive = zipped(tmp_path / "a.zip", name="../b/a.png")
    assert len(folders._distinct(archive, 16, 1, 0.95).names) == 8
    with pytest.raises(TypeError, match=r"^path: '' is not the name of a folder or a \.zip file$"):
        gahb.images.load("folder", None, 16, path="")
    with pytest.raises(ValueError, match=r"^path: .* has 8 distinct images, none for test; accep"):
        monkeypatch.setattr(folders, "SHARE", 0.5)
        gahb.images.load("folder", None, 16, "test", path=archive)


def test_pictures_of_folders_that_are_gone_leave_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GAHB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(folders, "SETS_KEPT", 2)
    for number in range(4):
        gahb.images.load("folder", None, 16, path=zipped(tmp_path / f"{number}.zip"))
    assert len(list((tmp_path / "cache" / "images").iterdir())) == 2


CURVE = Curve.of(torch.arange(0.0, 45.0, 5.0), torch.arange(18.0).view(9, 2))
HISTORIES = {100: History(train={10: 20.0, 1000: 31.0}, test={10: 20.0, 1000: 24.0})}
HALF = gahb.adaptive_basis(lambda y: 0.5 * y, torch.eye(4)[None, None])
PAIRS = {(n, subset): torch.ones(1, 1, 4, 4) for n in (1, 10) for subset in ("S1", "S2")}
POINT = {"a": torch.ones(1)}
GOOD_CALLS = {
    figures.curves_against: {
        **{"abscissa": "noise", "curves": {10: CURVE}, "y_label": "", "scale": "log"},
        **{"expected": {10: 1.0}, "level": ("a", 1.0), "shade": (0, 1), "ax": None},
        "mark": Estimate(1, 0, 2),
    },
    figures.psnr_curves: {"curves": {10: CURVE}, "dashed": {10: CURVE}, "ax": None},
    figures.gaps: {"gaps": {10: CURVE}, "ax": None},
    figures.psnr_slopes: {"curves": {"a": CURVE}, "expected": {"a": 1.0}, "over": (5, 30)},
    figures.curve_against_updates: {"histories": HISTORIES, "sigma": 0.1},
    figures.gap_map: {"histories": HISTORIES, "sigma": 0.1},
    figures.time_map: {"values": {1: {1: 0.0, 9: 1.0}}, "color_label": "", "lines": {"a": [3]}},
    figures.rank_against_residual: {"traces": POINT, "residuals": POINT, "sigma": 0.1},
    figures.variance_and_bias: {"coefficients": torch.arange(1, 9) ** -1.5, "sigmas": [0.1]},
    figures.as_gray: {"v": torch.ones(1, 1, 4, 4)},
    figures.image_grid: {"rows": {"a": torch.ones(1, 1, 4, 4)}, "columns": ["b"]},
    figures.drawn_from_one_noise: {"samples": PAIRS, "closest": PAIRS, "i": 0},
    figures.similarity_histograms: {"groups": {"a": {10: torch.ones(3)}}},
    figures.basis_vectors: {"basis": HALF, "numbers": [1]},
    figures.shrinkage_factors: {"bases": {"half": HALF}},
    figures.shrinkage_and_coefficients: {"basis": HALF, "x": torch.ones(1, 1, 4, 4)},
    figures.density_1d: {
        **{"density": Gaussian(torch.zeros(1, 1, 1), torch.eye(1)), "sigma": 0.5, "span": (-1, 1)},
    },
    figures.panels: {"columns": 1, "height": 2.0, "rows": 1},
    figures.count_label: {"n": 10},
    basis.effective_rank: {"basis": HALF},
    basis.rank_above: {"basis": HALF, "threshold": 0.1},
    basis.coefficients: {"basis": HALF, "x": torch.ones(1, 1, 4, 4)},
    basis.projection: {"basis": HALF, "x": torch.ones(1, 1, 4, 4), "k": 1},
    CURVE.at: {"x": 20},
    CURVE.combination: {"weights": torch.ones(9)},
    Curve.of: {"x": CURVE.x, "per_image": CURVE.per_image, "images": None},
}
FREE = {"y_label", "color_label"}
ARGUMENTS = [
    (f, argument) for f, call in GOOD_CALLS.items() for argument in call if argument not in FREE
]


@pytest.mark.parametrize(("f", "argument"), ARGUMENTS, ids=lambda x: getattr(x, "__qualname__", x))
def test_what_no_argument_accepts_is_named(f, argument):
    f(**GOOD_CALLS[f])
    for junk in (object(), [None], {"a": None}, torch.tensor(torch.nan)):
        with pytest.raises((TypeError, ValueError), match=f"^{argument}\\b"):
            f(**GOOD_CALLS[f] | {argument: junk})
