"""The command line: ``gahb COMMAND``, or ``python -m gahb``; ``--help`` lists the commands."""

import argparse
import io
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

import gahb
from gahb import settings
from gahb.book import artifacts, controls, costs, harmonics, jobs, recipes, scorecard
from gahb.book.dynamics import measure_dynamics
from gahb.book.variance import measure_variance
from gahb.checks import check_count
from gahb.images.folder import read_pictures
from gahb.report import memorization_report
from gahb.report.measure import SAMPLERS
from gahb.similarity import median
from gahb.training import train
from gahb.training.record import MANIFEST, folder_of

TESTED = 1000  # images that no model was trained on, of the recipes
MOST_THREADS = 64  # on fewer cores: with very many OpenMP crashes
MISTAKE = re.compile(r"[\w.+*-]+: .+")  # "argument: given; accepted: ...", all on one line


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status; a user's mistake is one line on stderr."""
    options = parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # of terminals that know no superscripts
    try:
        if options.edition:
            # Also for the processes that a sweep starts.
            os.environ["GAHB_EDITION"] = options.edition
        status = int(options.run(options) or 0)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # Whoever read has seen enough; at its end, Python would flush into the closed pipe again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print(
            "gahb: stopped; the same command, without --again, goes on from the checkpoint",
            file=sys.stderr,
        )
        return 130
    except (ValueError, TypeError, OSError, RuntimeError, FloatingPointError) as error:
        mistake = isinstance(error, OSError) or MISTAKE.fullmatch(str(error))
        if options.debug or not mistake:
            raise
        print(f"gahb: {error}", file=sys.stderr)
        return 2


Options = argparse.Namespace
Add = Callable[[Callable[[Options], int | None], str], argparse.ArgumentParser]
"""Adds the command that a function ``run_<command>`` runs, and says what it is for."""


def parser() -> argparse.ArgumentParser:
    """Return the commands and their options."""
    top = argparse.ArgumentParser(prog="gahb", description="Train denoisers, and measure them.")
    top.add_argument("--version", action="version", version=f"gahb {gahb.__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def command(run: Callable[[Options], int | None], help: str) -> argparse.ArgumentParser:
        name = run.__name__.removeprefix("run_")
        added = commands.add_parser(name, help=help, description=help)
        added.set_defaults(run=run)
        editions = settings.EDITIONS
        added.add_argument("--edition", choices=editions, help="default: GAHB_EDITION, or laptop")
        added.add_argument("--debug", action="store_true", help="show where an error comes from")
        return added

    add_recipes(command)
    add_trainings(command)
    add_measurements(command)
    return top


def add_recipes(command: Add) -> None:
    """Add what shows recipes, and what they would cost."""
    command(run_list, "list the recipes of an edition, and what has been trained")
    show = command(run_show, "print a recipe, and the manifest of its training")
    show.add_argument("name", metavar="NAME")
    planning = command(run_plan, "compute what the trainings of an edition would cost")
    planning.add_argument("planned", choices=settings.EDITIONS, metavar="EDITION")
    planning.add_argument("pattern", nargs="?", default="*", metavar="PATTERN", help="default: all")
    planning.add_argument(
        "--utilization",
        type=float,
        default=costs.UTILIZATION,
        help=f"share of a processor's peak speed (default: {costs.UTILIZATION})",
    )


def add_trainings(command: Add) -> None:
    """Add what trains, and what shows how far it is."""
    training = command(run_train, "train recipes, or go on with interrupted trainings")
    training.add_argument("names", nargs="+", metavar="NAME")
    training.add_argument(
        "--again", action="store_true", help="from the start, although it is finished"
    )
    training.add_argument("--keep-snapshots", action="store_true", help="also those along the way")
    training.add_argument("--threads", type=int, help="CPU threads (default: torch's choice)")
    sweeping = command(run_sweep, "train all recipes that match a pattern, side by side")
    sweeping.add_argument("pattern", metavar="PATTERN", help="such as 'faces-unet-n*-s1'")
    sweeping.add_argument("--jobs", type=int, default=1, help="trainings at the same time")
    on_cluster = sweeping.add_argument_group("as jobs of submitit, which go on where they stopped")
    on_cluster.add_argument("--cluster", choices=jobs.CLUSTERS, help="default: neither")
    on_cluster.add_argument("--hours", type=float, default=24.0, help="time limit (default: 24)")
    on_cluster.add_argument("--cpus", type=int, default=2, help="cores of each job (default: 2)")
    on_cluster.add_argument("--gpus", type=int, default=0, help="of each job (default: 0)")
    on_cluster.add_argument("--slurm", nargs="*", default=[], metavar="OPTION=VALUE")
    showing = command(run_status, "show how far the trainings of an edition are")
    showing.add_argument("pattern", nargs="?", default="*", metavar="PATTERN", help="default: all")


def add_measurements(command: Add) -> None:
    """Add what measures the trained networks, and judges the measurements."""
    varying = command(run_variance, "measure how alike two networks draw (Figure 2)")
    varying.add_argument("family", metavar="FAMILY", help="such as 'faces-unet'")
    varying.add_argument("counts", nargs="+", type=int, metavar="N", help="training images")
    following = command(run_dynamics, "measure trainings along their kept snapshots")
    following.add_argument("names", nargs="+", metavar="NAME")
    overlapping = command(run_harmonics, "measure how harmonic and how adaptive bases are")
    overlapping.add_argument("names", nargs="+", metavar="NAME", help="such as 'calpha4-unet-...'")
    overlapping.add_argument("--control", choices=controls.NAMES, help="measure this in its place")
    overlapping.add_argument("--sigma", type=float, default=harmonics.SIGMA, help="noise level")
    share = "vectors, as a share of the pixels"
    overlapping.add_argument("--features", type=float, default=harmonics.FEATURES, help=share)
    along = "measure along the training, at each kept snapshot"
    overlapping.add_argument("--snapshots", action="store_true", help=along)
    spreading = command(run_spectrum, "measure all shrinkage factors at one image (Figure 5)")
    spreading.add_argument("names", nargs="+", metavar="NAME")
    spreading.add_argument("--sigma", type=float, default=0.1, help="noise level (default: 0.1)")
    filtering = command(run_affine, "measure the best affine denoisers of training sets")
    filtering.add_argument("names", nargs="+", metavar="NAME")
    verifying = command(run_verify, "check checksums, and measure the PSNR anew")
    verifying.add_argument("names", nargs="*", metavar="NAME", help="default: all of the edition")
    reporting = command(run_report, "tell whether models memorize, by what they sample")
    reporting.add_argument(
        "models", nargs="+", metavar="A", help="one or two: recipes, or folders of samples"
    )
    for name, held in (("train", "each was trained on"), ("test", "none was trained on")):
        pictures = f"folders of pictures that {held} (default: those of the recipes)"
        reporting.add_argument(f"--{name}", nargs="+", type=Path, default=[], help=pictures)
    reporting.add_argument("--size", type=int, help="pixels per side (default: the samples' own)")
    reporting.add_argument("--color", action="store_true", help="of folders: red, green and blue")
    reporting.add_argument("--samples", type=int, default=64, help="of each recipe (default: 64)")
    reporting.add_argument("--seed", type=int, default=0, help="of the noise (default: 0)")
    reporting.add_argument("--sampler", choices=SAMPLERS, default=SAMPLERS[0])
    reporting.add_argument("--flips", action="store_true", help="mirror images count as copies")
    reporting.add_argument("--shifts", type=int, default=0, help="pixels by which copies may move")
    reporting.add_argument("--save", type=Path, metavar="FILE", help="as JSON, and safetensors")
    reporting.add_argument("--html", type=Path, metavar="FILE", help="as one page with its figures")
    scoring = command(run_scorecard, "judge the paper's claims by what was measured")
    scoring.add_argument("--write", action="store_true", help="keep the verdicts, to compare with")


def run_list(options: Options) -> None:
    """Print one line per recipe: name, state, test PSNR at 20 dB, wall time."""
    print(f"{'recipe':32} {'state':12} {'test PSNR at 20 dB':>18} {'minutes':>8}")
    for recipe in recipes.every().values():
        found, output_psnr, minutes = jobs.progress(recipe), "", ""
        if found.manifest and found.state == "trained":
            curve = found.manifest["measured"]
            output_psnr = f"{curve['test'][curve['input_psnr'].index(20.0)]:.2f} dB"
            minutes = f"{found.manifest['wall_seconds'] / 60:.1f}"
        print(f"{recipe.name:32} {found.state:12} {output_psnr:>18} {minutes:>8}")


def run_show(options: Options) -> None:
    """Print the recipe, or its manifest once it is trained, as JSON."""
    recipe = recipes.get(options.name)
    shown = {"recipe": recipe.as_dict(), "hash": recipe.hash}
    print(json.dumps(artifacts.trained(recipe) or shown, indent=2))


def run_plan(options: Options) -> None:
    """Print one line per recipe: operations, memory, and hours on four GPUs."""
    print(costs.plan(recipes.find(options.pattern, options.planned), options.utilization))


def run_train(options: Options) -> None:
    """Train one recipe after the other."""
    if options.threads is not None:
        check_count("--threads", options.threads, maximum=max(MOST_THREADS, os.cpu_count() or 1))
        torch.set_num_threads(options.threads)
    for recipe in [recipes.get(name) for name in options.names]:
        with artifacts.mending(recipe):
            train(recipe, again=options.again, keep_snapshots=options.keep_snapshots)


def run_sweep(options: Options) -> int:
    """Train all that match; exit with 1 if any failed."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # ends its processes
    if options.cluster is None:
        failed = jobs.sweep(options.pattern, options.jobs)
    else:
        resources = {name: getattr(options, name) for name in ("hours", "cpus", "gpus")}
        for option in options.slurm:
            name, is_given, value = option.partition("=")
            if not is_given:
                given = f"{option!r} is not OPTION=VALUE"
                raise ValueError(f"--slurm: {given}, such as partition=gpu")
            resources[name] = value
        submitted = jobs.submit(options.pattern, options.jobs, options.cluster, **resources)
        if options.cluster == "slurm":
            print("\n".join(f"{name}: job {job.job_id}" for name, job in submitted.items()))
            return 0
        failed = [name for name, job in submitted.items() if job.exception() is not None]
    for name in failed:
        print(f"gahb: {name} failed", file=sys.stderr)
    return int(bool(failed))


def run_status(options: Options) -> None:
    """Print one line per recipe: state, safe updates, age of the checkpoint, report of failure."""
    for recipe in recipes.find(options.pattern):
        found = jobs.progress(recipe)
        age = "" if found.seconds is None else f"{found.seconds:,.0f} s ago"
        line = f"{recipe.name:32} {found.state:10} {found.updates:>9,} of {recipe.updates:,} {age}"
        print(line if found.report is None else f"{line} {found.report}")


def run_variance(options: Options) -> None:
    """Measure and store, and print one line for each N."""
    for n in options.counts:
        found = measure_variance(options.family, n)
        between, to_train = median(found.between), median(found.to_train.T)
        print(f"N = {n}: between networks {between}, to the training set {to_train}", flush=True)


def run_dynamics(options: Options) -> None:
    """Measure and store, and print one line for each training."""
    for name in options.names:
        found = measure_dynamics(name)
        times = f"generalizes at {found.tau_gen()}, 10% copies at {found.tau_mem()}"
        print(f"{name}: {len(found.updates)} snapshots, {times}", flush=True)


def run_harmonics(options: Options) -> None:
    """Measure and store, and print one line for each network, or for each of its snapshots."""
    chosen = options.control, options.sigma, options.features
    if options.snapshots and chosen != (None, harmonics.SIGMA, harmonics.FEATURES):
        given = "given with --control, --sigma or --features"
        raise ValueError(f"--snapshots: {given}; accepted: without them")
    for name in options.names:
        if options.snapshots:
            along = harmonics.measure_overlaps_along(name)
            found = {f"{name}, update {update}": each for update, each in along.items()}
        else:
            found = {name: harmonics.measure_overlaps(name, *chosen)}
        for what, overlaps in found.items():
            means = (f"{key} {float(each.mean()):.2f}" for key, each in overlaps.items())
            print(f"{what}: {', '.join(means)}", flush=True)


def run_spectrum(options: Options) -> None:
    """Measure and store, and print one line for each network."""
    for name in options.names:
        factors, _ = harmonics.measure_spectrum(name, options.sigma)
        first, last = float(factors[0]), float(factors[-1])
        print(f"{name}: {len(factors)} factors from {first:.3f} to {last:.3f}", flush=True)


def run_affine(options: Options) -> None:
    """Measure and store, and print one line for each training set."""
    for name in options.names:
        found = controls.measure_affine(name)
        means = ", ".join(f"{subset} {curve.mean()} dB" for subset, curve in found.items())
        print(f"{name}: {means}", flush=True)


def run_report(options: Options) -> None:
    """Print the report on one or two models, and write it where that is asked for."""
    chosen = {name: getattr(options, name) for name in ("seed", "sampler", "flips", "shifts")}
    found = memorization_report(**compared(options), **chosen)
    print(found)
    if options.save:
        found.save(options.save)
    if options.html:
        from gahb.book.figures import report_page  # here, as matplotlib takes a second

        report_page(found, options.html, f"Do they memorize? {' and '.join(options.models)}")


def compared(options: Options) -> dict[str, Any]:
    """Return the models of recipes, or the samples in folders, and images, for the report."""
    count, sets_given = len(options.models), len(options.train or options.models)
    if not count == sets_given <= 2:  # before anything is read or trained
        given = f"{count} models, {sets_given} sets"
        raise ValueError(f"--train: {given}; accepted: one or two models, and a set of each")
    folders = [Path(name) for name in options.models if Path(name).exists()]
    read = partial(read_pictures, channels=3 if options.color else 1)
    found: dict[str, Any] = {}
    test = None
    if folders:
        if len(folders) < len(options.models) or not options.train:
            raise ValueError("A: accepted: recipes, or folders of samples with --train, not both")
        samples = [read(folder, options.size) for folder in folders]
        size, sets = samples[0].shape[-1], []
        found["samples"] = samples
    else:
        known = [recipes.get(name) for name in options.models]
        size, sets = known[0].size, [recipe.train_images() for recipe in known]
        test, found["samples"] = known[0].test_images(TESTED), options.samples
        models = (artifacts.load(recipe.name) for recipe in known)
        found |= dict(zip(("model_a", "model_b"), models, strict=False))
    if options.train:
        sets = [read(folder, size) for folder in options.train]
    if options.test:
        test = torch.cat([read(folder, size) for folder in options.test])
    return {**found, **dict(zip(("train_a", "train_b"), sets, strict=False)), "test": test}


def run_verify(options: Options) -> int:
    """Print one line per artifact; exit with 1 if any is not what its manifest says."""
    names = options.names or [
        name for name, recipe in recipes.every().items() if (folder_of(recipe) / MANIFEST).exists()
    ]
    good = [show_verdict(artifacts.verify(name)) for name in names]
    if not options.names:
        good += map(show_verdict, artifacts.verify_stored(settings.edition()))
    if not good:
        raise ValueError("NAME: nothing has been trained in this edition")
    return int(not all(good))


def show_verdict(verdict: artifacts.Verdict) -> bool:
    """Print the line of one artifact or measurement, and return whether it is good."""
    found = f"BAD: {(verdict.problem or '').removeprefix(f'{verdict.name}: ')}"
    if verdict.good:
        change = verdict.difference
        found = "good" if change is None else f"good (PSNR differs by {change:.4f} dB)"
    print(f"{verdict.name}: {found}", flush=True)
    return verdict.good


def run_scorecard(options: Options) -> int:
    """Print all claims and their verdicts; exit with 1 if one is worse than the one kept."""
    table = scorecard.rows()
    print(scorecard.as_text(table))
    if options.write:
        scorecard.write(table)
        return 0
    worse = scorecard.worse(table, scorecard.committed())
    for row in worse:
        print(f"gahb: {row.claim.name} is worse than before: {row.verdict}", file=sys.stderr)
    return int(bool(worse))


if __name__ == "__main__":
    sys.exit(main())
