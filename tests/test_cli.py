"""The command line, as a person calls it."""

import json
import subprocess
import sys

import pytest
import torch
from PIL import Image

import gahb
from gahb.__main__ import main
from gahb.book import jobs as sweeping
from gahb.book import recipes
from gahb.report import Report
from gahb.training.record import read_manifest


@pytest.fixture
def smoke(artifacts, quick, monkeypatch):
    """The smoke edition on images that need no download, in a folder of its own."""
    monkeypatch.setenv("GAHB_EDITION", "smoke")
    every = recipes.every

    def on_leaves(edition=None):
        return {n: r.but(images="leaves", updates=5) for n, r in every(edition).items()}

    monkeypatch.setattr(recipes, "every", on_leaves)
    return artifacts / "smoke"


def test_list_show_train_verify(smoke, capsys):
    assert main(["train", "faces-unet-n1-s1", "--threads", "1"]) == 0
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(recipes.every("smoke"))
    assert " trained " in next(line for line in lines if line.startswith("faces-unet-n1-s1 "))
    assert " missing " in next(line for line in lines if line.startswith("faces-unet-n1-s2 "))
    assert main(["show", "faces-unet-n1-s1"]) == 0
    assert json.loads(capsys.readouterr().out)["final"]["update"] == 5
    assert main(["show", "faces-unet-n1-s2"]) == 0
    assert json.loads(capsys.readouterr().out)["recipe"]["subset"] == "S2"
    assert main(["verify"]) == 0
    assert capsys.readouterr().out.startswith("faces-unet-n1-s1: good")
    for damaged in ("log.jsonl", "weights.safetensors"):
        (smoke / "faces-unet-n1-s1" / damaged).write_text("")
        assert main(["verify", "faces-unet-n1-s1"]) == 1
        assert f"s1: BAD: {damaged} does not have the checksum" in capsys.readouterr().out


def test_train_again_forgets_what_was_trained(smoke):
    main(["train", "faces-unet-n1-s1"])
    (smoke / "faces-unet-n1-s1" / "manifest.json").write_text("{")
    assert main(["train", "faces-unet-n1-s1"]) == 2
    assert main(["train", "faces-unet-n1-s1", "--again"]) == 0
    assert read_manifest(smoke / "faces-unet-n1-s1") is not None


def pictures(folder, images):
    """Write images (n, C, H, W), by number, as files of a folder, and return its name."""
    folder.mkdir()
    for i, image in enumerate((255 * images).round().to(torch.uint8)):
        array = image.movedim(0, 2).squeeze(2).numpy()
        Image.fromarray(array).save(folder / f"{i:03}.png")
    return str(folder)


@pytest.mark.parametrize("channels", [1, 3])
def test_report_on_folders_of_samples(channels, tmp_path, capsys):
    generator = torch.Generator().manual_seed(0)
    sets = torch.rand(3, 12, channels, 10, 10, generator=generator)
    a, b, test = (pictures(tmp_path / name, x) for name, x in zip("ABT", sets, strict=True))
    copies = pictures(tmp_path / "copies", sets[0, :8].flip(0))
    others = pictures(tmp_path / "others", torch.rand(8, channels, 10, 10, generator=generator))
    page, saved = tmp_path / "report.html", tmp_path / "report.json"
    color = ["--color"] if channels == 3 else []
    written = ["--html", str(page), "--save", str(saved)]
    sets_given = ["--train", a, b, "--test", test]
    assert main(["report", copies, others, *sets_given, *written, *color]) == 0
    printed = capsys.readouterr().out
    assert "Verdict: A memorized, B new." in printed
    report = Report.load(saved)
    assert str(report) + "\n" == printed and report.closest[0].tolist() == [*range(7, -1, -1)]
    assert report.samples.shape == (2, 8, channels, 10, 10)
    html = page.read_text(encoding="utf-8")
    assert "<strong>Verdict: A memorized, B new.</strong>" in html
    assert html.count("<img alt=") == 2 and "http" not in html  # no curves: there are no models
    assert main(["report", copies, "--train", a, "--size", "8", *color]) == 0
    assert "Verdict: memorized (100% of samples)." in capsys.readouterr().out


def test_report_on_recipes(smoke, capsys):
    names = [f"faces-unet-n10-s{i}" for i in (1, 2)]
    assert main(["report", *names, "--samples", "2", "--sampler", "ode"]) == 0
    assert "A and B were trained on 10 images each" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["report", "faces"], "name: 'faces' is unknown; accepted: faces-unet-n1-s1"),
        (["report", "."], "A: accepted: recipes, or folders of samples with --train, not both"),
        (["report", *["faces-unet-n1-s1"] * 3], "--train: 3 models, 3 sets; accepted: one or"),
        (["train", "faces"], "name: 'faces' is unknown; accepted: faces-unet-n1-s1"),
        (["train", "faces-unet-n1-s1", "--threads", "0"], "--threads: 0 is not a whole number"),
        (["train", "faces-unet-n1-s1", "--threads", "99999"], "--threads: 99999 is not a whole"),
        (["sweep", "x*"], "pattern: 'x*' matches no recipe"),
        (["sweep", "*", "--jobs", "0"], "jobs: 0 is not a whole number of at least 1"),
        (["verify"], "NAME: nothing has been trained in this edition"),
    ],
)
def test_errors_are_one_line(smoke, capsys, arguments, message):
    assert main(arguments) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith(f"gahb: {message}")
    assert "\n" not in error


def test_an_error_of_ours_shows_its_traceback_and_debug_every_one(smoke, monkeypatch, capsys):
    with pytest.raises(ValueError, match=r"^name: 'faces' is unknown"):
        main(["train", "faces", "--debug"])
    monkeypatch.setattr(recipes, "every", lambda edition=None: 1 + None)
    with pytest.raises(TypeError, match="unsupported operand"):
        main(["list"])
    assert capsys.readouterr().err == ""


def test_a_closed_pipe_is_no_error(artifacts):
    command = [sys.executable, "-m", "gahb", "list", "--edition", "smoke"]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    run.stdout.close()
    assert run.stderr.read() == ""
    assert run.wait() == 0
    run.stderr.close()


def test_a_sweep_trains_all_and_tells_what_failed(smoke, monkeypatch, capsys):
    started = []

    def train_alone(name, threads):
        started.append((name, threads))
        return int(name == "faces-unet-n10-s2")

    monkeypatch.setattr(sweeping, "train_alone", train_alone)
    assert main(["sweep", "faces-unet-n1*-s2", "--jobs", "2"]) == 1
    assert sorted(name for name, _ in started) == [f"faces-unet-n{n}-s2" for n in (1, 10, 100)]
    assert capsys.readouterr().err == "gahb: faces-unet-n10-s2 failed\n"


def test_a_sweep_runs_processes(artifacts):
    command = [sys.executable, "-m", "gahb", "sweep", "faces-unet-n1-s?", "--edition", "smoke"]
    subprocess.run([*command, "--jobs", "2"], check=True, stderr=subprocess.DEVNULL)
    for subset in ("s1", "s2"):
        assert read_manifest(artifacts / "smoke" / f"faces-unet-n1-{subset}")["threads"] >= 1


def test_the_version_is_the_package_s(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"gahb {gahb.__version__}\n"
