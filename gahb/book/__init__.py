"""What the book and the command line need beside the library: recipes, artifacts, figures."""

from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType


def __getattr__(name: str) -> ModuleType:
    """Import a module of the book when it is first used."""
    if name not in {module.name for module in iter_modules(__path__)}:
        raise AttributeError(f"module 'gahb.book' has no attribute {name!r}")
    return import_module(f"gahb.book.{name}")
