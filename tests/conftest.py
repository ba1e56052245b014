"""What several tests need: a folder of their own for artifacts, and a training of a second."""

import pytest

from gahb.book import recipes


@pytest.fixture
def artifacts(tmp_path, monkeypatch):
    """Folder of artifacts that belongs to the test alone."""
    monkeypatch.setenv("GAHB_ARTIFACTS", str(tmp_path / "artifacts"))
    return tmp_path / "artifacts"


@pytest.fixture
def quick():
    """A recipe that trains in a second, on images that need no download."""
    return recipes.get("faces-unet-n10-s1", edition="smoke").but(images="leaves", updates=60)
