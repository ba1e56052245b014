"""What has been trained: load it, fetch it where it was not shipped along, and verify it."""

import logging
import math
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import metadata
from importlib.resources import files
from itertools import zip_longest
from pathlib import Path
from typing import Any

from gahb import settings, training
from gahb.book import recipes
from gahb.book.released import released_network
from gahb.denoiser import Denoiser
from gahb.devices import best_device
from gahb.dynamics import Dynamics
from gahb.training import Recipe, record, train
from gahb.training.loop import FINAL_IMAGES, measured

STORED = (
    "variance/*.json",
    "affine/*.json",
    "harmonics/*.json",
    "spectra/*.json",
    "measured/*.json",
    "scorecard.json",
    "dynamics/*.safetensors",
)
TOLERANCE = 0.01  # dB, between the stored and the measured PSNR


def load(name: str, edition: str | None = None) -> Denoiser:
    """Return the trained denoiser of a recipe, on the GPU where there is one.

    The laptop edition ships its weights. The others train them where they are missing: the smoke
    edition in seconds, the colab and paper editions on the GPU that they are meant for. In the
    paper edition the released checkpoint of the recipe, if the folder ``GAHB_RELEASED`` has one,
    takes the place of the training.
    """
    recipe = recipes.get(name, edition)
    if network := released_network(recipe):
        return Denoiser(network).to(best_device())
    with mending(recipe):
        if recipe.edition != "laptop":
            return train(recipe)
        require(recipe)
        return Denoiser(record.load_network(record.folder_of(recipe), recipe)).to(best_device())


def manifest(name: str, edition: str | None = None) -> dict[str, Any]:
    """Return the manifest of a training: recipe, checksums, PSNR, wall time, versions."""
    return require(recipes.get(name, edition))


def weights_of(recipe: Recipe) -> str:
    """Return the checksum of the weights of a training, which measurements depend on."""
    return str(require(recipe)["sha256"][record.WEIGHTS])


def history(name: str, input_psnr: float = 20.0) -> record.History:
    """Return PSNR by number of updates of a recipe's training, at one input PSNR in dB."""
    recipe = recipes.get(name)
    folder = record.folder_of(recipe)
    with mending(recipe):
        record.read_log(folder, require(recipe)["sha256"].get(record.LOG))  # which checks it
    return training.history(folder, input_psnr)


def require(recipe: Recipe) -> dict[str, Any]:
    """Return the manifest of a finished training of this very recipe, fetched if it was shipped."""
    folder, command = record.folder_of(recipe), train_command(recipe)
    fetch(*(folder / name for name in (record.WEIGHTS, record.LOG, record.MANIFEST)))
    found = trained(recipe)
    if found is None:
        raise FileNotFoundError(f"name: {recipe.name} has not been trained; run: {command}")
    if found["hash"] != recipe.hash:
        raise ValueError(
            f"name: {recipe.name} was trained by another version of its recipe; "
            f"run: {command} --again"
        )
    return found


def trained(recipe: Recipe) -> dict[str, Any] | None:
    """Return the manifest of a recipe's training, or None where it is not finished."""
    folder = record.folder_of(recipe)
    with mending(recipe):
        found = record.read_manifest(folder)
        if found and not (folder / record.WEIGHTS).is_file():
            raise settings.damaged(folder / record.WEIGHTS, "is missing")
    return found


def train_command(recipe: Recipe) -> str:
    """Return the command that trains a recipe."""
    command = f"python -m gahb train {recipe.name}"
    return command + f" --edition {recipe.edition}" * (recipe.edition != settings.edition())


@contextmanager
def mending(damaged: Recipe | Path) -> Iterator[None]:
    """Let the error of a damaged training or file say the command that mends it."""
    try:
        yield
    except settings.DamagedError as error:
        if "; run: " in str(error):
            raise
        raise settings.DamagedError(f"{error}; run: {mend_command(damaged)}") from error


def mend_command(damaged: Recipe | Path) -> str:
    """Return what brings back what was shipped, or else makes the same again."""
    path = record.folder_of(damaged) if isinstance(damaged, Recipe) else damaged
    if shipped(path) or shipped(path / record.MANIFEST):
        checkout = settings.checkout()  # elsewhere, what is missing is fetched
        git = ["git", "-C", str(checkout), "checkout", "HEAD", "--"]
        return shlex.join([*(git if checkout else ["rm", "-r"]), str(path)])
    if isinstance(damaged, Recipe):
        return f"{train_command(damaged)} --again"
    if path.parent.name == "variance":
        return "python -m gahb variance {} {}".format(*path.stem.rsplit("-n", 1))
    if path.parent.name == "dynamics":
        measure = f"python -m gahb dynamics {path.stem}"
        return f"python -m gahb train {path.stem} --keep-snapshots --again && {measure}"
    if path.name == "scorecard.json":
        return "python -m gahb scorecard --write"
    executing = "  # and execute its chapter again" * (path.parent.name == "measured")
    return shlex.join(["rm", str(path)]) + executing


def shipped(path: Path) -> str | None:
    """Return the SHA-256 of a file that was shipped to where it is, or None if it was not."""
    home = (settings.checkout() or settings.cache_folder()) / "artifacts"
    within = path.is_relative_to(home)
    return registry().get(path.relative_to(home).as_posix()) if within else None


def path_of(kind: str, name: str) -> Path:
    """Return the file of a measurement of the present edition, of a kind that has a folder."""
    suffix = "safetensors" if kind == "dynamics" else "json"
    return settings.artifacts_folder() / settings.edition() / kind / f"{name}.{suffix}"


def read_stored(path: Path) -> Any:
    """Return a stored measurement, or None; if it is damaged, say the command that mends it."""
    with mending(path):
        if path.suffix == ".json":
            return settings.read_json(path)
        if not path.is_file():
            return None
        found, origin = Dynamics.load(path)
        return {"weights": origin["hash"], "found": found}


def measurement(
    path: Path, command: str, weights: Callable[[], Any], measure: Callable[[], Any]
) -> dict[str, Any]:
    """Return a stored measurement of trained networks; where there is none, ``measure`` stores it.

    The laptop edition ships its measurements: there, a missing one is an error that says the
    ``command``, as is one of other ``weights`` in every edition.
    """
    fetch(path)
    what = f"name: the {path.parent.name} of {path.stem}"
    if (stored := read_stored(path)) is None:
        if settings.edition() == "laptop":
            raise FileNotFoundError(f"{what} has not been measured; run: {command}")
        measure()
        stored = read_stored(path)
    found: dict[str, Any] = stored
    if found["weights"] != weights():
        raise ValueError(f"{what} was measured with other weights; run: {command}")
    return found


def fetch(*paths: Path) -> None:
    """Fetch shipped files of the artifacts folder that are missing.

    Only an installed package does so, once and into the user's cache: a checkout holds them, and a
    folder of one's own (``GAHB_ARTIFACTS``) is left alone. Each is checked against the SHA-256 that
    the package holds.
    """
    folder = settings.cache_folder() / "artifacts"
    missing = [path for path in paths if not path.is_file()]
    if settings.checkout() or settings.artifacts_folder() != folder or not missing:
        return
    import pooch  # imports requests: only where something is fetched

    pooch.get_logger().setLevel(logging.WARNING)
    names = [path.relative_to(folder).as_posix() for path in missing]
    shipped = {name: registry()[name] for name in names if name in registry()}
    downloader = pooch.HTTPDownloader(progressbar=not settings.quiet(), timeout=30)
    source = pooch.create(folder, address(), registry=shipped, retry_if_failed=2)
    for name in shipped:
        try:
            source.fetch(name, downloader=downloader)
        except (OSError, ValueError) as error:  # no network; other bytes than those shipped
            reason = "not what was shipped" if isinstance(error, ValueError) else "out of reach"
            raise OSError(
                f"name: {address()}{name} is {reason} ({type(error).__name__})"
            ) from error


@cache
def registry() -> dict[str, str]:
    """Return the SHA-256 of all shipped files, by their path in the artifacts folder."""
    text = files("gahb.book").joinpath("registry.txt").read_text(encoding="utf-8")
    return dict(line.split() for line in text.splitlines())


def address() -> str:
    """Return where the files of this version lie: the tag of the repository that it was built from.

    The address of the repository stands in ``pyproject.toml``, and so in the package's metadata.
    """
    package = metadata("gahb")
    urls = dict(entry.split(", ", 1) for entry in package.get_all("Project-URL") or [])
    return f"{urls['Repository']}/raw/v{package['Version']}/artifacts/"


@dataclass(frozen=True)
class Verdict:
    """Result of the verification of one artifact: its largest PSNR difference in dB, or why not."""

    name: str
    difference: float | None
    problem: str | None

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return self.problem is None


def verify(name: str, edition: str | None = None) -> Verdict:
    """Check an artifact: its checksums, and its PSNR measured anew to 0.01 dB."""
    recipe = recipes.get(name, edition)
    folder = record.folder_of(recipe)
    try:
        with mending(recipe):
            stored = require(recipe)
            network = record.load_network(folder, recipe)  # which checks the weights
            record.read_log(folder, stored["sha256"].get(record.LOG))
        sets = recipe.train_images(FINAL_IMAGES), recipe.test_images(FINAL_IMAGES)
    except (ValueError, OSError, RuntimeError) as error:  # also of images that are out of reach
        return Verdict(name, None, str(error))
    new = measured(network, *sets, FINAL_IMAGES)
    differences = [
        abs(a - b)
        for curve, values in new.items()
        for a, b in zip_longest(stored["measured"].get(curve, []), values, fillvalue=math.nan)
    ]
    worst = max(differences, key=lambda difference: (math.isnan(difference), difference))
    if worst <= TOLERANCE:
        return Verdict(name, worst, None)
    problem = f"the PSNR measured now differs by {worst:.3f} dB from the stored one"
    return Verdict(name, worst, f"{problem}; run: {mend_command(recipe)}")


def verify_stored(edition: str) -> Iterator[Verdict]:
    """Check the checksums of all measurements that an edition has stored."""
    folder = settings.artifacts_folder() / edition
    for pattern in STORED:
        for path in sorted(folder.glob(pattern)):
            problem = None
            try:
                read_stored(path)
            except settings.DamagedError as error:
                problem = str(error)
            yield Verdict(f"{path.parent.name}/{path.name}", None, problem)
