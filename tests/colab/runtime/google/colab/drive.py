"""Stand-in for the user's Drive: a folder."""

from pathlib import Path


def mount(mountpoint: str) -> None:
    """Let there be a Drive."""
    (Path(mountpoint) / "MyDrive").mkdir(parents=True, exist_ok=True)
