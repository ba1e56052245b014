"""Released checkpoints in the folders of the released code, in the place of trainings."""

import pytest
import torch
from test_networks import released_unet

import gahb
from gahb.book import recipes
from gahb.book.released import checkpoint, set_size
from gahb.networks import UNet


@pytest.fixture
def released(tmp_path, artifacts, monkeypatch):
    """Folder laid out as the released code does it; its networks are small."""
    folder = tmp_path / "denoisers"
    monkeypatch.setenv("GAHB_RELEASED", str(folder))
    for variant in (
        "UNet/celebA_80x80/0to255_RF_90x90_set_size_100",
        "UNet/celebA_80x80/0to255_RF_90x90_set_size_100_swapped",
        "UNet/celebA_80x80/0to255_RF_90x90_set_size_91234",
        "UNet/celebA_40x40/0to255_RF_45x45_set_size_100",
        "UNet/LSUN_bedroom_80x80/0to255_RF_90x90_set_size_100",
        "BF_CNN/celebA_40x40/0to255_set_size_100",
        "BF_CNN/celebA_HQ_40x40/0to255_set_size_100",
        "BF_CNN/bedroom_32x32/0to255_RF_90x90_set_size_20000_swapped",
        "BF_CNN/bedroom_80x80/0to255_set_size_20000",
        "UNet/celebA_80x80/notes",
    ):
        (folder / variant).mkdir(parents=True)
        torch.manual_seed(len(variant))
        network = UNet(3, 4).eval()
        torch.save(released_unet(network), folder / variant / "model.pt")
    return folder


def answer(name, **changes):
    """The folder that answers a recipe, under its network's, or None."""
    file = checkpoint(recipes.get(name, "paper").but(**changes))
    return file and file.parent.relative_to(file.parents[3]).as_posix()


def test_each_recipe_finds_its_own_checkpoint(released):
    unet = "UNet/celebA_80x80/0to255_RF_90x90_set_size"
    assert answer("faces-unet-n100-s1") == f"{unet}_100"
    assert answer("faces-unet-n100-s2") == f"{unet}_100_swapped"
    # The released code trains on half of the data where there are not twice as many images.
    assert answer("faces-unet-n100000-s1") == f"{unet}_91234"
    assert answer("faces-unet-n100000-s2") is None
    # But a set of two thirds of the size is another one.
    assert answer("faces-unet-n100000-s1", n=130_000) is None
    assert answer("faces-unet-n1000-s1") is None
    assert answer("faces-unet-n100-s1-40px").startswith("UNet/celebA_40x40")
    assert answer("faces-unet-n100-s1-20px") is None
    assert answer("lsun_bedroom-unet-n100-s1").startswith("UNet/LSUN_bedroom")
    assert answer("faces-bfcnn-n100-s1").startswith("BF_CNN/celebA_HQ")
    assert answer("faces-bfcnn-n100-s1", images="celeba").startswith("BF_CNN/celebA_40x40")
    assert answer("faces-bfcnn-n100-s2") is None
    assert answer("lsun_bedroom-bfcnn-n20000-s2").startswith("BF_CNN/bedroom_32x32")
    assert answer("lsun_bedroom-bfcnn-n20000-s1") is None, "its pixels are others"
    assert answer("disks-unet-n100000-s1") is None
    assert checkpoint(recipes.get("faces-unet-n100-s1", "laptop")) is None


def test_a_released_network_takes_the_place_of_a_training(released, artifacts):
    f = gahb.load("faces-unet-n100-s1", edition="paper")
    file = checkpoint(recipes.get("faces-unet-n100-s1", "paper"))
    y = torch.rand(1, 1, 16, 16)
    assert torch.equal(f.residual(y), gahb.networks.from_released(file)(y))
    assert not torch.equal(f(y), gahb.load("faces-unet-n100-s2", edition="paper")(y))
    assert not artifacts.exists(), "nothing was trained"


def test_a_file_of_the_recipes_name_goes_first(released):
    named = released / "faces-unet-n100-s1.pt"
    named.write_bytes((released / answer("faces-unet-n100-s2") / "model.pt").read_bytes())
    assert checkpoint(recipes.get("faces-unet-n100-s1", "paper")) == named


def test_two_answers_are_an_error(released):
    other = released / "UNet" / "celebA_again_80x80"
    (released / "UNet" / "celebA_80x80").rename(other)
    (other / "0to100_RF_90x90_set_size_100").mkdir()
    (other / "0to100_RF_90x90_set_size_100" / "model.pt").touch()
    with pytest.raises(ValueError, match=r"both answer faces-unet-n100-s1; accepted: one, or a"):
        answer("faces-unet-n100-s1")


def test_another_network_is_refused(released):
    with pytest.raises(ValueError, match=r"^GAHB_RELEASED: .*model\.pt is a UNet, not a BFCNN"):
        gahb.load("faces-bfcnn-n100-s1", edition="paper")


def test_a_folder_that_is_not_there_is_named(released, monkeypatch):
    monkeypatch.setenv("GAHB_RELEASED", str(released / "nothing"))
    with pytest.raises(FileNotFoundError, match=r"^GAHB_RELEASED: there is no folder"):
        gahb.load("faces-unet-n100-s1", edition="paper")


@pytest.mark.parametrize(
    "path", ["", "0to255_RF_90x90_set_size_100", "UNet/celebA/0to255_RF_90x90_set_size_x", "UNet/a"]
)
def test_paths_of_another_form_are_passed_over(tmp_path, path):
    recipe = recipes.get("faces-unet-n100-s1", "paper")
    assert set_size(tmp_path / path / "model.pt", recipe) == 0
