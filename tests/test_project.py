"""The project's own files agree: requirements, lock, versions, and what the book needs of them."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import execution_cache
import pytest
import registry
import yaml
from chapters import ROOT
from jupyter_client.kernelspec import KernelSpecManager
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import gahb
from gahb.book import recipes
from gahb.training.loop import Optimizer

# What Colab has, which installing gahb there must not upgrade.
COLAB = {
    "accelerate": "1.14",
    "ipywidgets": "7.7.1",
    "matplotlib": "3.10",
    "numpy": "2.1",
    "safetensors": "0.8",
    "torch": "2.11",
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def requirements(name: str) -> dict[str, Requirement]:
    lines = (ROOT / name).read_text(encoding="utf-8").replace(" \\\n", " ").splitlines()
    stated = [re.split("#| --hash=", line)[0].strip() for line in lines]
    return by_name([line for line in stated if line])


def by_name(stated: list[str]) -> dict[str, Requirement]:
    return {canonicalize_name(Requirement(line).name): Requirement(line) for line in stated}


ASKED = by_name(PROJECT["dependencies"] + PROJECT["optional-dependencies"]["diffusers"])


def locked_versions() -> dict[str, str]:
    lock = requirements("requirements.lock")
    return {name: str(pin.specifier).removeprefix("==") for name, pin in lock.items()}


def test_all_but_torch_is_locked_by_its_hashes() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    hashed = re.findall(r"^([\w.-]+)==\S+((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", text, re.M)
    assert {canonicalize_name(name) for name, _ in hashed} == {*locked_versions()} - {"torch"}


def test_lock_pins_everything_exactly_and_torch_first() -> None:
    lock = requirements("requirements.lock")
    assert next(iter(lock)) == "torch"
    assert all(re.fullmatch(r"==[^+*,]+", str(pin.specifier)) for pin in lock.values())


@pytest.mark.parametrize(
    "stated",
    [requirements("requirements.txt"), ASKED],
    ids=["requirements.txt", "pyproject.toml"],
)
def test_lock_satisfies(stated: dict[str, Requirement]) -> None:
    locked = locked_versions()
    assert {name for name in stated if name not in locked} == set()
    misfits = {n for n, r in stated.items() if not r.specifier.contains(locked[n])}
    assert misfits == set()


def test_package_asks_for_no_more_than_the_book_does() -> None:
    stated = requirements("requirements.txt")
    assert {n for n in ASKED if n not in stated} == set()


def test_package_upgrades_nothing_on_colab() -> None:
    for name, version in COLAB.items():
        assert ASKED[name].specifier.contains(version), name
    operators = {s.operator for requirement in ASKED.values() for s in requirement.specifier}
    assert operators == {">="}, "lower bounds only"


def test_versions_agree() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == PROJECT["version"] == str(Version(PROJECT["version"]))


def test_repository_is_named_by_the_book_and_once_by_the_package() -> None:
    url = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["repository"]["url"]
    assert PROJECT["urls"] == {"Repository": url}
    texts = [*ROOT.glob("*.md"), *ROOT.glob("*.toml"), *ROOT.glob("*.cff")]
    counts = {path.name: path.read_text(encoding="utf-8").count(url) for path in texts}
    assert {name: count for name, count in counts.items() if count} == {"pyproject.toml": 1}


def test_wheels_know_the_checksums_of_what_is_shipped() -> None:
    assert registry.REGISTRY.read_text(encoding="utf-8") == registry.registry(), "make registry"


def test_the_top_is_small_and_imports_what_is_used_alone() -> None:
    code = "import sys, gahb; print(len(gahb.__all__), *{m.split('.')[0] for m in sys.modules})"
    printed = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True).split()
    assert int(printed[0]) <= 35
    later = {"accelerate", "ipywidgets", "lmdb", "matplotlib", "pooch"}
    assert {"torch"} == ({"torch"} | later) & {*printed}
    for name in gahb.__all__:
        assert getattr(gahb, name) is not None
    with pytest.raises(AttributeError, match="'gahb' has no attribute 'nothing'"):
        gahb.nothing  # noqa: B018


def test_chapters_run_in_this_environment() -> None:
    kernel = KernelSpecManager().get_kernel_spec("python3")
    assert Path(kernel.resource_dir).is_relative_to(sys.prefix)


def test_make_refuses_another_python(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    python.chmod(0o755)
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    run = subprocess.run(
        ["make", "book", f"PYTHON={python}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert run.returncode != 0
    assert "is not Python 3.11, 3.12 or 3.13" in run.stderr.splitlines()[0]
    assert not (tmp_path / ".venv").exists()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with a package, trained weights, and pages executed with them."""
    monkeypatch.setattr(execution_cache, "ROOT", tmp_path)
    monkeypatch.setattr(execution_cache, "BUILD", tmp_path / "_build")
    monkeypatch.setattr(execution_cache, "FINGERPRINT", tmp_path / "_build" / "fingerprint.txt")
    monkeypatch.setattr(execution_cache, "FORGOTTEN", (tmp_path / "_build" / "cache",))
    for name in ("gahb/a.py", "artifacts/b.safetensors", "requirements.lock", "_config.yml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("before", encoding="utf-8")
    execution_cache.forget_what_changed()
    (tmp_path / "_build" / "cache").mkdir()
    return tmp_path


@pytest.mark.parametrize("name", ["gahb/a.py", "artifacts/b.safetensors", "requirements.lock"])
def test_changes_make_executed_pages_forgotten(checkout: Path, name: str) -> None:
    (checkout / name).write_text("after", encoding="utf-8")
    execution_cache.forget_what_changed()
    assert not (checkout / "_build" / "cache").exists()


def test_edition_makes_executed_pages_forgotten(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAHB_EDITION", "smoke")
    execution_cache.forget_what_changed()
    assert not (checkout / "_build" / "cache").exists()


def test_executed_pages_are_kept_otherwise(checkout: Path) -> None:
    (checkout / "gahb" / "__pycache__").mkdir()
    (checkout / "gahb" / "__pycache__" / "a.pyc").write_text("compiled", encoding="utf-8")
    (checkout / "artifacts" / "under-way").mkdir()
    for name in ("checkpoint.pt", "log.jsonl"):
        (checkout / "artifacts" / "under-way" / name).write_text("step 1", encoding="utf-8")
    execution_cache.forget_what_changed()
    assert (checkout / "_build" / "cache").is_dir()


def test_commands_that_train_are_of_recipes_that_can_be_trained():
    # Not of those of the first edition, whose optimizer is gone.
    texts = [ROOT / "README.md", *(ROOT / "book").glob("*.md")]
    commands = re.compile(r"gahb train ([\w.-]+)")
    named = {name for path in texts for name in commands.findall(path.read_text())}
    assert named
    for name in named:
        recipe = recipes.get(name, "laptop")
        Optimizer(recipe, recipe.build())
