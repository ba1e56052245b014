"""Trainings as jobs of this machine: finished, put into the queue again, failed; their progress."""

import builtins
import json
import os
import signal
import subprocess
import threading
import time

import pytest
import torch

import gahb
from gahb.__main__ import main
from gahb.book import recipes
from gahb.book.jobs import Job, jobs_folder, progress, record_job
from gahb.training.record import CHECKPOINT, WEIGHTS, folder_of, sha256


@pytest.fixture(autouse=True)
def smoke(artifacts, tmp_path, monkeypatch):
    """Folder of the smoke edition, whose leaves need no download."""
    monkeypatch.setenv("GAHB_EDITION", "smoke")
    monkeypatch.setenv("TQDM_DISABLE", "1")
    monkeypatch.setenv("GAHB_CACHE", str(tmp_path / "cache"))
    return artifacts / "smoke"


@pytest.fixture
def recipe():
    return recipes.get("leaves-unet-n100-s1", "smoke")


def make_room(recipe, numbers):
    """Tell the job of a recipe to make room as soon as there is a checkpoint."""
    while not (folder_of(recipe) / CHECKPOINT).is_file():
        time.sleep(0.005)
    numbers.append(json.loads((jobs_folder() / f"{recipe.name}.json").read_text()))
    task = subprocess.check_output(["pgrep", "-P", numbers[0]], text=True)
    os.kill(int(task), signal.SIGUSR1)


def test_a_job_that_must_make_room_goes_on_from_its_checkpoint(recipe, tmp_path, capsys):
    numbers = []
    watcher = threading.Thread(target=make_room, args=(recipe, numbers), daemon=True)
    watcher.start()
    assert main(["sweep", recipe.name, "--cluster", "local", "--cpus", "1"]) == 0
    assert "Requeued job" in (jobs_folder() / f"{numbers[0]}_0_log.out").read_text()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    gahb.train(recipe, tmp_path / "whole")
    torch.set_num_threads(threads)
    assert sha256(folder_of(recipe) / WEIGHTS) == sha256(tmp_path / "whole" / WEIGHTS)
    assert main(["status", recipe.name]) == 0
    assert capsys.readouterr().out.split() == [recipe.name, "trained", "200", "of", "200"]


def test_a_job_that_fails_is_told_with_its_report(smoke, recipe, capsys):
    folder_of(recipe).mkdir(parents=True)
    torch.save({"hash": "another"}, folder_of(recipe) / CHECKPOINT)
    assert main(["sweep", recipe.name, "--cluster", "local"]) == 1
    assert capsys.readouterr().err.endswith(f"gahb: {recipe.name} failed\n")
    found = progress(recipe)
    assert found.state == "failed"
    assert "checkpoint.pt is of another recipe" in found.report.read_text()
    assert main(["status", recipe.name]) == 0
    assert str(found.report) in capsys.readouterr().out


def test_progress_is_read_from_the_files(recipe):
    assert progress(recipe).state == "missing"
    record_job(recipe.name, "17_3")
    assert progress(recipe).state == "submitted"
    folder_of(recipe).mkdir(parents=True)
    torch.save({"hash": recipe.hash, "update": 50}, folder_of(recipe) / CHECKPOINT)
    begun = progress(recipe)
    assert (begun.state, begun.updates) == ("begun", 50)
    assert 0 <= begun.seconds < 60
    # A job that ended is forgotten once a later training has gone on.
    (jobs_folder() / "17_3_0_result.pkl").touch()
    os.utime(jobs_folder() / "17_3_0_result.pkl", (0, 0))
    assert progress(recipe).state == "begun"
    os.utime(folder_of(recipe) / CHECKPOINT, (0, 0))
    assert progress(recipe).state == "failed"


def test_a_job_is_submitted_again_as_the_same_call():
    job = Job("smoke", cpus=1)
    again = job.checkpoint("leaves-unet-n1-s1")
    assert again.function == job
    assert again.args == ("leaves-unet-n1-s1",)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["x*", "--cluster", "local"], "pattern: 'x*' matches no recipe"),
        (["leaves*", "--cluster", "local", "--jobs", "0"], "jobs: 0 is not a whole number"),
        (["leaves*", "--cluster", "local", "--cpus", "0"], "cpus: 0 is not a whole number"),
        (["leaves*", "--cluster", "local", "--hours", "0"], "hours: 0.0 is not a finite number in"),
        (["leaves*", "--cluster", "slurm", "--slurm", "gpu"], "--slurm: 'gpu' is not OPTION=VALUE"),
        (["leaves*", "--cluster", "slurm"], 'cluster: Could not detect "srun"'),
    ],
)
def test_errors_are_one_line(arguments, message, capsys, monkeypatch):
    monkeypatch.setenv("PATH", "")  # no Slurm, even where there is one
    assert main(["sweep", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"gahb: {message}")
    assert error.count("\n") == 1


def test_without_submitit_the_error_says_how_to_install_it(monkeypatch, capsys):
    imported = builtins.__import__

    def without(name, *rest, **more):
        if name == "submitit":
            raise ModuleNotFoundError(name)
        return imported(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    assert main(["sweep", "leaves*", "--cluster", "local"]) == 2
    assert "submitit is missing; run: pip install 'gahb[cluster]'" in capsys.readouterr().err
