"""Why diffusion models generalize: train denoisers and analyze them.

The flat public API: ``images`` and ``networks`` give data and architectures, ``train`` and ``load``
give denoisers, ``psnr_curve`` and its companions measure them. What a name needs is imported when
the name is first used; ``__init__.pyi`` lists the names and where they live.
"""

import ast
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from pkgutil import iter_modules

# A function of its module's name: the module, once imported, would hide a name that comes later.
from gahb.wrap import wrap as wrap

_STUB = ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
_IMPORTS = [statement for statement in _STUB.body if isinstance(statement, ast.ImportFrom)]
_HOMES = {name.name: statement.module for statement in _IMPORTS for name in statement.names}
_MODULES = {module.name for module in iter_modules(__path__)}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> object:
    """Import a name of the API, or a module, when it is first used."""
    if name == "__version__":
        try:
            return version("gahb")
        except PackageNotFoundError:  # used from a checkout that was not installed
            return "0"
    if name in _MODULES:
        return import_module(f"gahb.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'gahb' has no attribute {name!r}")
    globals()[name] = value = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
