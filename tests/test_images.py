"""Image classes: the same images whoever asks for how many, and three subsets apart."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gahb.images import CLASSES, load, pick
from gahb.images import faces as faces_module
from gahb.images.faces import draw_faces, face_weights, generate, generator
from gahb.images.leaves import draw_leaves, number_of_leaves
from gahb.images.store import averaged

DRAW = {"faces": draw_faces, "leaves": draw_leaves}
DIGESTS = {
    ("faces", "S1"): "7f2031a19c5af76f",
    ("faces", "S2"): "31a0e41663089153",
    ("faces", "test"): "f636865260f55884",
    ("leaves", "S1"): "a03fde99af0ac409",
    ("leaves", "S2"): "b7f72360b7c4bc60",
    ("leaves", "test"): "e073d05f61cff47c",
}


def digest(images: Tensor) -> str:
    return hashlib.sha256(images.contiguous().numpy().data).hexdigest()[:16]


@pytest.mark.parametrize(("name", "subset"), DIGESTS)
def test_the_images_are_those_that_the_shipped_networks_were_trained_on(name, subset):
    drawn = DRAW[name](range(4), 32, subset, 0)  # anew: a cached copy would hide a change
    assert digest(drawn) == DIGESTS[name, subset]
    assert torch.equal(load(name, 4, 32, subset, dtype=torch.uint8), drawn)


@pytest.mark.parametrize("name", DRAW)
def test_shape_type_and_range(name):
    x = load(name, 3, 16)
    levels = load(name, 3, 16, dtype=torch.uint8)
    assert x.shape == (3, 1, 16, 16) and x.dtype == torch.float32
    assert levels.dtype == torch.uint8 and torch.equal(x, levels.float() / 255)
    assert 0 <= x.min() < 0.3 and 0.5 < x.max() <= 1
    assert x.flatten(1).std(dim=1).min() > 0.02


@pytest.mark.parametrize("draw", DRAW.values())
def test_an_image_depends_on_seed_subset_and_index_alone(draw):
    together = draw(range(5), 16, "S1", 0)
    assert torch.equal(draw([3], 16, "S1", 0), together[3:4])
    assert torch.equal(draw([4, 1], 16, "S1", 0), together[[4, 1]])
    others = [draw([0], 16, "S2", 0), draw([0], 16, "test", 0), draw([0], 16, "S1", 1)]
    everything = torch.cat([together, *others]).flatten(1)
    assert len(everything.unique(dim=0)) == 8


def test_faces_do_not_depend_on_batches_or_threads(monkeypatch):
    expected = draw_faces(range(5), 32, "test", 0)
    threads = torch.get_num_threads()
    try:
        for batch, count in [(1, 1), (2, 2), (5, 3)]:
            monkeypatch.setattr(faces_module, "BATCH", batch)
            torch.set_num_threads(count)
            assert torch.equal(draw_faces(range(5), 32, "test", 0), expected)
    finally:
        torch.set_num_threads(threads)


def test_faces_generator_agrees_with_its_layers_written_out():
    """Folded normalizations and the matrix product against torch's own modules."""
    channels = (100, 512, 256, 128, 64)
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(pairwise(channels)):
        stride, padding = (1, 0) if i == 0 else (2, 1)
        layers.append(nn.ConvTranspose2d(before, after, 4, stride, padding, bias=False))
        layers.extend([nn.BatchNorm2d(after), nn.ReLU()])
    layers.extend([nn.ConvTranspose2d(64, 3, 4, 2, 1, bias=False), nn.Tanh()])
    network = nn.Sequential(*layers).double().eval()
    weights = torch.load(face_weights(), "cpu", weights_only=True)["netG_state_dict"]
    network.load_state_dict({key.removeprefix("main."): w.double() for key, w in weights.items()})
    latents = torch.randn(2, 100, dtype=torch.float64, generator=torch.manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(
            generate(generator(), latents), network(latents[..., None, None]), atol=1e-10, rtol=0
        )


@pytest.mark.parametrize("size", [8, 16, 32, 64])
def test_averaging_is_average_pooling_where_the_size_divides(size):
    image = torch.rand(1, 1, 64, 64, dtype=torch.float64)
    pooled = nn.functional.avg_pool2d(image, 64 // size)
    torch.testing.assert_close(torch.from_numpy(averaged(image[0, 0].numpy(), size)), pooled[0, 0])


@pytest.mark.parametrize("size", [20, 24, 40, 63])
def test_averaging_keeps_means_and_linear_ramps_at_other_sizes(size):
    # Of the unit vectors, along the columns of as many images: the matrix that averages rows.
    rows = np.broadcast_to(np.eye(64)[:, None], (64, 64, 64))
    matrix = torch.from_numpy(averaged(rows, size)[:, 0])
    torch.testing.assert_close(matrix.sum(dim=1), torch.ones(size, dtype=torch.float64))
    torch.testing.assert_close(matrix.sum(dim=0), torch.full((64,), size / 64).double())


def test_leaves_are_one_scene_at_every_size():
    coarse = draw_leaves(range(20), 16, "S1", 0).double()
    fine = draw_leaves(range(20), 64, "S1", 0).double()
    assert (nn.functional.avg_pool2d(fine, 4) - coarse).abs().mean() < 4


def test_leaves_cover_the_image_with_gray_levels_of_all_values():
    x = load("leaves", 100, 16)
    assert number_of_leaves() == 1581
    assert abs(x.mean() - 0.5) < 0.03
    # Flat leaves and sharp borders: most neighbors are equal or nearly so, a few are far apart.
    steps = load("leaves", 20, 64).diff(dim=-1).abs()
    assert (steps < 1 / 255).float().mean() > 0.6
    assert (steps > 0.25).float().mean() > 0.04


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"name": "cats"}, ValueError, "name: 'cats' is unknown; accepted: faces, leaves, folder"),
        ({"name": ["faces"]}, ValueError, r"name: \['faces'\] is unknown"),
        ({"subset": "train"}, ValueError, "subset: 'train' is unknown; accepted: S1, S2, test"),
        ({"n": 0}, ValueError, "n: 0 is not a whole number of at least 1"),
        ({"n": 2.5}, TypeError, "n: 2.5 is not"),
        ({"size": 80}, ValueError, "size: 80 is not a whole number from 8 to 64"),
        ({"size": 4}, ValueError, "size: 4 is not a whole number from 8 to 64"),
        ({"size": "32"}, TypeError, "size: '32' is not"),
        ({"seed": -1}, ValueError, "seed: -1 is not"),
        ({"seed": 2**32}, ValueError, "seed: 4294967296 is not"),
        ({"dtype": torch.int64}, TypeError, "dtype: torch.int64 is not a floating-point type"),
        ({"dtype": "float32"}, TypeError, "dtype: 'float32' is not a floating-point type"),
        ({"path": "somewhere"}, ValueError, "path: the class 'faces' takes none"),
        ({"name": "folder"}, ValueError, "path: the class 'folder' needs a folder or a .zip"),
        ({"name": "folder", "path": 3}, TypeError, "path: 3 is not the name of a folder"),
        ({"name": "folder", "path": "no/such"}, FileNotFoundError, "path: there is nothing at no"),
    ],
)
def test_bad_arguments_are_named_in_one_line(arguments, error, words):
    with pytest.raises(error, match=words) as caught:
        load(**({"name": "faces", "n": 2, "size": 16} | arguments))
    assert "\n" not in str(caught.value)


def test_every_class_of_the_registry_is_a_name():
    assert set(DRAW) < set(CLASSES)


def test_picked_images_are_those_of_their_numbers():
    many = load("leaves", 6, 16, "S2")
    assert torch.equal(pick("leaves", [4, 0, 4], 16, "S2"), many[[4, 0, 4]])


@pytest.mark.parametrize(
    ("indices", "message"),
    [([], "indices: there are none; accepted"), ([3, -1], "indices: -1 is not a whole number")],
)
def test_bad_numbers_of_images_are_refused(indices, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        pick("leaves", indices, 16)
