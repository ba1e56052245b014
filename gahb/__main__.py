"""The command line: ``python -m gahb COMMAND``; ``--help`` lists the commands."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence

import torch

from gahb import settings
from gahb.book import artifacts, costs, recipes, scorecard
from gahb.book import jobs as cluster
from gahb.book.artifacts import progress
from gahb.book.jobs import sweep
from gahb.book.variance import measure_variance
from gahb.similarity import median
from gahb.training import Recipe, train
from gahb.training.record import folder_of, read_manifest

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; give the exit status. Errors are one line on the standard error."""
    options = parser().parse_args(arguments)
    try:
        if options.edition:
            # Also for the processes that a sweep starts.
            os.environ["GAHB_EDITION"] = options.edition
        return int(options.run(options))
    except (ValueError, TypeError, OSError, FloatingPointError) as error:
        print(f"gahb: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("gahb: stopped; the same command goes on from the checkpoint", file=sys.stderr)
        return 130


Commands = Callable[[str, Callable[[argparse.Namespace], int], str], argparse.ArgumentParser]
"""Adds a command, by its name, what it runs, and what it is for."""


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    top = argparse.ArgumentParser(prog="python -m gahb", description=main.__doc__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def command(
        name: str, run: Callable[[argparse.Namespace], int], help: str
    ) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=help, description=help)
        added.set_defaults(run=run)
        editions = settings.EDITIONS
        added.add_argument("--edition", choices=editions, help="default: GAHB_EDITION, or laptop")
        return added

    add_recipes(command)
    add_trainings(command)
    add_measurements(command)
    return top


def add_recipes(command: Commands) -> None:
    """What shows recipes, and what they would cost."""
    command("list", run_list, "list the recipes of an edition, and what has been trained")
    show = command("show", run_show, "print a recipe, and the manifest of its training")
    show.add_argument("name", metavar="NAME")
    planning = command("plan", run_plan, "compute what the trainings of an edition would cost")
    planning.add_argument("planned", choices=settings.EDITIONS, metavar="EDITION")
    planning.add_argument("pattern", nargs="?", default="*", metavar="PATTERN", help="default: all")
    planning.add_argument(
        "--utilization",
        type=float,
        default=costs.UTILIZATION,
        help=f"share of a processor's peak speed (default: {costs.UTILIZATION})",
    )


def add_trainings(command: Commands) -> None:
    """What trains, and what tells how far it is."""
    training = command("train", run_train, "train recipes, or go on with interrupted trainings")
    training.add_argument("names", nargs="+", metavar="NAME")
    training.add_argument(
        "--again", action="store_true", help="from the start, although it is finished"
    )
    training.add_argument("--keep-snapshots", action="store_true", help="also those along the way")
    training.add_argument("--threads", type=int, help="CPU threads (default: torch's choice)")
    sweeping = command("sweep", run_sweep, "train all recipes that match a pattern, side by side")
    sweeping.add_argument("pattern", metavar="PATTERN", help="such as 'faces-unet-n*-s1'")
    sweeping.add_argument("--jobs", type=int, default=1, help="trainings at the same time")
    on_cluster = sweeping.add_argument_group("as jobs of submitit, which go on where they stopped")
    on_cluster.add_argument("--cluster", choices=cluster.CLUSTERS, help="default: neither")
    on_cluster.add_argument("--hours", type=float, default=24.0, help="time limit (default: 24)")
    on_cluster.add_argument("--cpus", type=int, default=2, help="cores of each job (default: 2)")
    on_cluster.add_argument("--gpus", type=int, default=0, help="of each job (default: 0)")
    on_cluster.add_argument("--slurm", nargs="*", default=[], metavar="OPTION=VALUE")
    showing = command("status", run_status, "show how far the trainings of an edition are")
    showing.add_argument("pattern", nargs="?", default="*", metavar="PATTERN", help="default: all")


def add_measurements(command: Commands) -> None:
    """What measures the trained networks, and judges the measurements."""
    varying = command("variance", run_variance, "measure how alike two networks draw (Figure 2)")
    varying.add_argument("family", metavar="FAMILY", help="such as 'faces-unet'")
    varying.add_argument("counts", nargs="+", type=int, metavar="N", help="training images")
    verifying = command("verify", run_verify, "check checksums, and measure the PSNR anew")
    verifying.add_argument("names", nargs="*", metavar="NAME", help="default: all of the edition")
    scoring = command("scorecard", run_scorecard, "judge the paper's claims by what was measured")
    scoring.add_argument("--write", action="store_true", help="keep the verdicts, to compare with")


def run_list(options: argparse.Namespace) -> int:
    """One line a recipe: name, state, test PSNR at 20 dB, wall time."""
    print(f"{'recipe':32} {'state':12} {'test PSNR at 20 dB':>18} {'minutes':>8}")
    for recipe in recipes.every().values():
        state, output_psnr, minutes = summary(recipe)
        print(f"{recipe.name:32} {state:12} {output_psnr:>18} {minutes:>8}")
    return 0


def summary(recipe: Recipe) -> tuple[str, str, str]:
    """State of a recipe's training, its test PSNR at 20 dB input in dB, its minutes."""
    found = progress(recipe)
    if found.state != "trained" or found.manifest is None:
        return found.state, "", ""
    curve = found.manifest["measured"]
    output_psnr = curve["test"][curve["input_psnr"].index(20.0)]
    return found.state, f"{output_psnr:.2f} dB", f"{found.manifest['wall_seconds'] / 60:.1f}"


def run_show(options: argparse.Namespace) -> int:
    """Recipe and manifest as JSON."""
    recipe = recipes.get(options.name)
    shown = {"recipe": recipe.as_dict(), "hash": recipe.hash}
    print(json.dumps(read_manifest(folder_of(recipe)) or shown, indent=2))
    return 0


def run_plan(options: argparse.Namespace) -> int:
    """One line a recipe: operations, memory, and hours on four graphics processors."""
    print(costs.plan(recipes.find(options.pattern, options.planned), options.utilization))
    return 0


def run_train(options: argparse.Namespace) -> int:
    """Train one recipe after the other."""
    if options.threads is not None:
        if options.threads < 1:
            raise ValueError(f"--threads: {options.threads} is not a whole number of at least 1")
        torch.set_num_threads(options.threads)
    for recipe in [recipes.get(name) for name in options.names]:
        train(recipe, again=options.again, keep_snapshots=options.keep_snapshots)
    return 0


def run_sweep(options: argparse.Namespace) -> int:
    """Train all that match; exit with 1 if any failed."""
    if options.cluster is None:
        failed = sweep(options.pattern, jobs=options.jobs)
    elif options.cluster == "local":
        failed = cluster.run(options.pattern, options.jobs, resources(options))
    else:
        submitted = cluster.submit(options.pattern, options.jobs, resources(options))
        print("\n".join(f"{name}: job {number}" for name, number in submitted.items()))
        return 0
    for name in failed:
        print(f"gahb: {name} failed", file=sys.stderr)
    return int(bool(failed))


def resources(options: argparse.Namespace) -> cluster.Resources:
    """What each job of a sweep may use."""
    for option in options.slurm:
        if "=" not in option:
            raise ValueError(f"--slurm: {option!r} is not OPTION=VALUE, such as partition=gpu")
    slurm = dict(option.split("=", 1) for option in options.slurm)
    return cluster.Resources(options.hours, options.cpus, options.gpus, slurm)


def run_status(options: argparse.Namespace) -> int:
    """One line a recipe: state, updates that are safe, age of the checkpoint, report of failure."""
    for recipe in recipes.find(options.pattern):
        found = progress(recipe)
        age = "" if found.seconds is None else f"{found.seconds:,.0f} s ago"
        line = f"{recipe.name:32} {found.state:10} {found.updates:>9,} of {recipe.updates:,} {age}"
        print(line if found.report is None else f"{line} {found.report}")
    return 0


def run_variance(options: argparse.Namespace) -> int:
    """Measure and store, and print one line for each N."""
    for n in options.counts:
        found = measure_variance(options.family, n)
        between, to_train = median(found.between), median(found.to_train.flatten())
        print(f"N = {n}: between networks {between}, to the training set {to_train}", flush=True)
    return 0


def run_verify(options: argparse.Namespace) -> int:
    """One line an artifact; exit with 1 if any is not what its manifest says."""
    trained = (r.name for r in recipes.every().values() if read_manifest(folder_of(r)))
    names = options.names or list(trained)
    if not names:
        raise ValueError("NAME: nothing has been trained in this edition")
    verdicts = [show_verdict(name) for name in names]
    return int(not all(verdicts))


def show_verdict(name: str) -> bool:
    """Verify one artifact and print the line."""
    verdict = artifacts.verify(name)
    if verdict.problem is None:
        print(f"{name}: good (PSNR differs by {verdict.difference:.4f} dB)", flush=True)
    else:
        problem = verdict.problem.removeprefix(f"{name}: ")
        print(f"{name}: BAD: {problem}", flush=True)
    return verdict.good


def run_scorecard(options: argparse.Namespace) -> int:
    """All claims and their verdicts; exit with 1 if one is worse than the verdict that was kept."""
    table = scorecard.rows()
    print(scorecard.as_text(table))
    worse = scorecard.worse(table, scorecard.committed())
    if options.write:
        scorecard.write(table)
        return 0
    for row in worse:
        print(f"gahb: {row.claim.name} is worse than before: {row.verdict}", file=sys.stderr)
    return int(bool(worse))


if __name__ == "__main__":
    sys.exit(main())
