"""The training loop: batches, optimizers, records, and what happens when it is cut short."""

import json
import math
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import gahb
from gahb.settings import atomic_write, remove_leftovers
from gahb.training import loop
from gahb.training.loop import Batches, Muon, Optimizer, annealing, image_order, orthogonalized
from gahb.training.recipe import CHOICES, Recipe
from gahb.training.record import CHECKPOINT, LOG, MANIFEST, WEIGHTS, read_manifest, sha256


def weights_of(folder):
    # A digest, since the report of two unequal files would take hours.
    return sha256(folder / WEIGHTS)


def log_of(folder):
    lines = map(json.loads, (folder / LOG).read_text().splitlines())
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


@pytest.mark.parametrize("weight", CHOICES["weight"])
def test_the_first_loss_is_the_weighted_error_of_the_untrained_network(quick, tmp_path, weight):
    recipe = quick.but(updates=1, weight=weight)
    gahb.train(recipe, tmp_path)
    torch.manual_seed(recipe.seed)
    network = recipe.build().train()
    x, z, sigma = Batches(recipe, recipe.train_images())(0)
    error = (network(x + z) - z).square().mean(dim=(1, 2, 3)).detach()
    expected = recipe.loss(error, sigma.flatten())
    logged = log_of(tmp_path)[0]
    assert logged["loss"] == pytest.approx(float(expected), rel=1e-4)
    assert logged["psnr"] == pytest.approx(float(-10 * error.log10().mean()), abs=0.01)


def test_a_training_goes_on_from_the_weights_of_another(quick, tmp_path):
    before = quick.but(updates=20)
    recipe = before.but(name="longer", updates=1, seed=1, start=before)
    gahb.train(recipe, tmp_path / "longer")
    start = gahb.train(before, tmp_path / before.name).network.train()  # trained on the way
    x, z, sigma = Batches(recipe, recipe.train_images())(0)
    error = (start(x + z) - z).square().mean(dim=(1, 2, 3)).detach()
    logged = log_of(tmp_path / "longer")[0]
    assert logged["loss"] == pytest.approx(float(recipe.loss(error, sigma.flatten())), rel=1e-4)
    assert read_manifest(tmp_path / "longer")["recipe"]["start"] == before.as_dict()


def test_every_image_comes_once_in_an_epoch():
    order = torch.cat([image_order(0, 10, update, 4) for update in range(10)])
    for epoch in order.view(4, 10):
        assert epoch.sort().values.tolist() == list(range(10))
    assert order[:10].tolist() != order[10:20].tolist()
    assert image_order(0, 1, 7, 4).tolist() == [0] * 4


@pytest.mark.parametrize(("law", "power"), [("u^2", 2), ("u", 1)])
def test_noise_levels_are_stratified(quick, law, power):
    images = torch.zeros(4, 1, 16, 16, dtype=torch.uint8)
    recipe = quick.but(noise=law, batch=64)
    x, z, sigma = Batches(recipe, images)(3)
    u = sigma.flatten().sort().values ** (1 / power)
    strata = torch.arange(64) / 64
    assert ((u >= strata - 1e-6) & (u <= strata + 1 / 64 + 1e-6)).all()
    measured = z.std(dim=(1, 2, 3)) / sigma.flatten()
    assert (measured - 1).abs().max() < 0.25
    assert x.shape == z.shape == (64, 1, 16, 16)


def test_batches_depend_on_seed_and_update_alone(quick):
    images = torch.arange(40, dtype=torch.uint8).view(40, 1, 1, 1).expand(-1, 1, 16, 16)
    first = Batches(quick, images)
    first(4)
    for a, b in zip(first(5), Batches(quick, images)(5), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(first(5)[1], first(6)[1])
    assert not torch.equal(first(5)[1], Batches(quick.but(seed=1), images)(5)[1])


def test_processes_share_one_batch(quick):
    images = torch.randint(0, 256, (40, 1, 16, 16), dtype=torch.uint8)
    whole = Batches(quick, images)(2)
    shares = [Batches(quick, images, rank, processes=2)(2) for rank in range(2)]
    for tensor, *parts in zip(whole, *shares, strict=True):
        assert torch.equal(tensor[0::2], parts[0])
        assert torch.equal(tensor[1::2], parts[1])
    with pytest.raises(ValueError, match="batch: 16 images cannot be shared by 3 processes"):
        Batches(quick, images, 0, 3)


def test_annealing():
    assert annealing("cosine", 0, 100) == 1
    assert annealing("cosine", 50, 100) == pytest.approx(0.5)
    assert annealing("cosine", 99, 100) < 1e-3
    assert [annealing("halving", u, 100) for u in (0, 9, 10, 99)] == [1, 1, 0.5, 0.5**9]
    assert [annealing("constant", u, 1000) for u in (0, 49, 99, 500)] == [0.01, 0.5, 1, 1]


def test_all_steps_follow_the_schedule(quick):
    recipe = quick.but(updates=100, schedule="cosine")
    network = gahb.UNet(1, 4)
    optimizer = Optimizer(recipe, network)
    network(torch.rand(1, 1, 8, 8)).square().mean().backward()
    optimizer.step(50)
    rates = [part.param_groups[0]["lr"] for part, _ in optimizer.parts]
    assert rates == pytest.approx([recipe.learning_rate / 2, recipe.step / 2])


def test_the_momentum_of_a_muon_step_is_that_of_nesterov():
    gradients = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    weight = torch.nn.Parameter(torch.ones(3, 4))
    optimizer = Muon([weight], lr=0.1)
    for gradient in gradients:
        before, weight.grad = weight.detach().clone(), gradient.clone()
        optimizer.step()
    momentum = 0.05 * gradients[1] + 0.95 * 0.05 * gradients[0]
    direction = orthogonalized(0.05 * gradients[1] + 0.95 * momentum)
    expected = 0.1 * math.sqrt(12) * direction / direction.norm()
    torch.testing.assert_close(before - weight.detach(), expected)


def test_a_muon_step_has_its_length_and_keeps_the_norm(quick):
    network = gahb.UNet(1, 8)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    optimizer = Optimizer(quick.but(step=0.02), network)
    network(torch.rand(4, 1, 16, 16)).square().mean().backward()
    optimizer.step(0)
    for name, p in network.named_parameters():
        assert p.grad is None
        p = p.detach()
        change = p - before[name]
        if p.ndim == 4:
            assert float(p.norm()) == pytest.approx(float(before[name].norm()), rel=1e-6)
            assert float(change.norm() / p.norm()) == pytest.approx(0.02, rel=0.15), name
        else:
            # Adam's first step is the learning rate wherever there is a gradient at all.
            assert float(change.abs().max()) == pytest.approx(3e-3, rel=1e-2)
            assert float(change.abs().median()) == pytest.approx(3e-3, rel=1e-2)


def test_a_dead_layer_stays_as_it_is():
    weight = torch.nn.Parameter(torch.ones(4, 4, 3, 3))
    weight.grad = torch.zeros_like(weight)
    Muon([weight], lr=0.02).step()
    torch.testing.assert_close(weight.detach(), torch.ones(4, 4, 3, 3))


def test_norms_stay_over_50_000_updates():
    """Gradients that stay the same for long are what made norms grow exponentially."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3, bias=False), torch.nn.Conv2d(2, 1, 3))
    weights = [layer.weight for layer in network]
    before = [w.detach().norm().item() for w in weights]
    optimizer = Muon(weights, lr=0.02)
    gradients = [torch.randn_like(w) for w in weights]
    for update in range(50_000):
        if update % 50 == 0:
            gradients = [torch.randn_like(w) for w in weights]
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = gradient
        optimizer.step()
    assert [w.detach().norm().item() for w in weights] == pytest.approx(before, rel=1e-4)


@pytest.mark.parametrize("make", [lambda: gahb.UNet(2, 4), lambda: gahb.BFCNN(5, 4)])
def test_only_the_last_and_transposed_convolutions_have_a_scale_that_counts(make):
    torch.manual_seed(0)
    network = make().train()
    y = torch.rand(4, 1, 16, 16)
    expected = network(y).detach()
    for name, weight in network.named_parameters():
        if weight.ndim == 4:
            weight.data.mul_(2)
            same = torch.allclose(network(y), expected, atol=1e-3 * expected.std().item())
            weight.data.div_(2)
            last = weight.shape[0] == 1
            assert same != (last or "upsample" in name), name


@pytest.mark.parametrize("shape", [(3, 20), (20, 3), (8, 8)])
def test_singular_values_are_brought_near_one(shape):
    values = torch.linalg.svdvals(orthogonalized(torch.randn(shape)))
    assert ((values > 0.6) & (values < 1.3)).all()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_muon_step_does_not_depend_on_the_memory_layout(quick, layout):
    stepped = []
    for memory_format in (torch.contiguous_format, layout):
        torch.manual_seed(0)
        network = gahb.UNet(1, 8).to(memory_format=memory_format)
        optimizer = Optimizer(quick, network)
        y = torch.rand(4, 1, 16, 16, generator=torch.Generator().manual_seed(0))
        network(y).square().mean().backward()
        optimizer.step(0)
        stepped.append(network.middle[0].conv.weight.detach().clone())
    assert torch.allclose(*stepped, atol=1e-5)


def test_the_optimizer_of_the_first_edition_is_named_and_refused(quick, tmp_path):
    with pytest.raises(ValueError, match=r"^optimizer: 'muon-1' is that of the first edition"):
        gahb.train(quick.but(optimizer="muon-1"), tmp_path)


def test_training_learns_where_gradients_are_off(quick, tmp_path):
    with torch.no_grad():
        gahb.train(quick.but(updates=2), tmp_path)
    assert read_manifest(tmp_path)["final"]["update"] == 2


def test_training_learns_and_leaves_a_full_record(quick, artifacts):
    f = gahb.train(quick)
    folder = artifacts / "smoke" / quick.name
    assert sorted(p.name for p in folder.iterdir()) == [LOG, MANIFEST, WEIGHTS]
    manifest = read_manifest(folder)
    assert manifest["hash"] == quick.hash
    assert manifest["recipe"] == quick.as_dict()
    assert manifest["sha256"] == {name: sha256(folder / name) for name in (WEIGHTS, LOG)}
    assert {"measured", "final", "wall_seconds", "versions", "threads"} <= manifest.keys()
    log = log_of(folder)
    losses = [line["loss"] for line in log if "loss" in line]
    assert losses[-1] < losses[0] / 2
    assert [line["update"] for line in log if "snapshot" in line] == [16, 23, 32, 45, 60]
    # The record holds what was trained: loaded, it gives the same images, and better ones than y.
    x = gahb.images.load("leaves", 16, 16)
    y = x + 0.3 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    loaded = gahb.train(quick)
    assert torch.allclose(loaded(y), f(y), atol=1e-5)
    with torch.no_grad():
        assert gahb.psnr(f(y), x).mean() > gahb.psnr(y, x).mean() + 2


def precisions(folder):
    """The types of the small and of the large tensors of a file of weights."""
    small, large = set(), set()
    for weight in load_file(folder / WEIGHTS).values():
        (large if weight.numel() >= loop.ROUNDED_FROM else small).add(weight.dtype)
    return small, large


def test_large_tensors_are_rounded_where_no_psnr_moves(quick, tmp_path, monkeypatch):
    f = gahb.train(quick.but(updates=20), tmp_path)
    assert precisions(tmp_path) == ({torch.float}, {torch.half})
    loaded = gahb.train(quick.but(updates=20), tmp_path)
    for name, weight in f.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], weight), name
    monkeypatch.setattr(loop, "UNSEEN", 0.0)
    gahb.train(quick.but(updates=20), tmp_path, again=True)
    assert precisions(tmp_path) == ({torch.float}, {torch.float})


@pytest.mark.parametrize("factor", [1e9, 1e-9])
def test_weights_beyond_half_precision_stay(quick, tmp_path, monkeypatch, factor):
    def scaled(training):
        weights = training.network.parameters()
        first, *_, last = (w for w in weights if w.numel() >= loop.ROUNDED_FROM)
        first.data.mul_(factor)
        last.data.div_(factor)
        before = training.measured(16)
        training.rounded()
        assert training.measured(16) == before
        assert all(map(math.isfinite, before["test"]))

    monkeypatch.setattr(loop.Training, "finish", scaled)
    gahb.train(quick.but(network="bfcnn", depth=4, width=16, updates=5), tmp_path)


@pytest.mark.parametrize("changes", [{"network": "bfcnn", "depth": 4}, {"optimizer": "adam"}])
def test_other_networks_and_optimizers_train(quick, tmp_path, changes):
    gahb.train(quick.but(updates=30, **changes), tmp_path)
    final = read_manifest(tmp_path)["final"]
    assert final["loss"] < 0.2


def test_training_on_a_folder_of_pictures(quick, tmp_path, monkeypatch):
    monkeypatch.setenv("GAHB_CACHE", str(tmp_path / "cache"))
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i in range(30):
        noise = np.random.default_rng(i).integers(0, 256, (16, 16), dtype=np.uint8)
        Image.fromarray(noise).save(pictures / f"{i}.png")
    names = gahb.images.file_names(pictures, 16)
    most = len(names["S1"])
    recipe = quick.but(images="folder", path=str(pictures), updates=2, n=most)
    gahb.train(recipe, tmp_path / "run")
    assert read_manifest(tmp_path / "run")["recipe"]["path"] == str(pictures)
    assert len(recipe.test_images(256)) == len(names["test"])
    with pytest.raises(ValueError, match=f"n: {most + 1} is more than the {most} images of su"):
        gahb.train(recipe.but(n=most + 1), tmp_path / "other")
    with pytest.raises(ValueError, match=r"^path: "):
        gahb.train(recipe.but(path=None), tmp_path / "other")


def test_a_folder_of_another_recipe_is_refused_and_kept(quick, tmp_path):
    gahb.train(quick.but(updates=2), tmp_path)
    before = weights_of(tmp_path)
    with pytest.raises(ValueError, match="the folder holds another recipe"):
        gahb.train(quick.but(updates=3), tmp_path)
    assert weights_of(tmp_path) == before
    gahb.train(quick.but(updates=3), tmp_path, again=True)
    assert weights_of(tmp_path) != before


@pytest.mark.parametrize("stray", ["thesis.tex", "src/a.tex", ".hidden", "checkpoint.pt/a"])
def test_training_again_refuses_a_folder_that_holds_anything_else(quick, tmp_path, stray):
    gahb.train(quick.but(updates=1), tmp_path)
    file = tmp_path / stray
    file.parent.mkdir(exist_ok=True)
    file.write_text("x")
    before = weights_of(tmp_path)
    with pytest.raises(
        ValueError, match=f"^folder: .* holds {stray.split('/')[0]}; to train again"
    ):
        gahb.train(quick.but(updates=2), tmp_path, again=True)
    assert file.read_text() == "x" and weights_of(tmp_path) == before


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "/x", "a/b", "a\nb", None])
def test_the_name_of_a_recipe_is_that_of_a_folder(quick, name):
    with pytest.raises(ValueError, match=r"^name: .* is not the name of a folder; accepted"):
        quick.but(name=name)


@pytest.mark.parametrize("fault", [OSError("no network"), KeyboardInterrupt()])
def test_the_old_training_stays_until_the_new_one_is_whole(quick, tmp_path, monkeypatch, fault):
    gahb.train(quick.but(updates=2), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(self, *_):
        raise fault

    broken = (Recipe, "train_images") if isinstance(fault, OSError) else (Batches, "__call__")
    with monkeypatch.context() as patch:
        patch.setattr(*broken, fail)
        with pytest.raises(type(fault)):
            gahb.train(quick.but(updates=2), tmp_path, again=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_training_again_that_was_cut_short_goes_on(quick, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY", 5)
    gahb.train(quick.but(updates=10), tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(loop.Training, "finish", lambda self: None)
        gahb.train(quick.but(updates=10, seed=1), tmp_path, again=True)
    assert read_manifest(tmp_path)["recipe"]["seed"] == 0  # the old one, whole
    monkeypatch.setattr(Batches, "__call__", lambda *_: pytest.fail("it had begun anew"))
    with pytest.raises(ValueError, match="holds another recipe"):
        gahb.train(quick.but(updates=10, seed=1), tmp_path)


def test_a_training_belongs_to_its_images(quick, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY", 5)
    gahb.train(quick.but(updates=2), tmp_path / "finished")
    with monkeypatch.context() as patch:
        patch.setattr(loop.Training, "finish", lambda self: None)
        gahb.train(quick.but(updates=5), tmp_path / "begun")
    other = quick.but(subset="S2").train_images()
    monkeypatch.setattr(Recipe, "train_images", lambda self: other)
    for folder, updates, file in (("finished", 2, MANIFEST), ("begun", 5, CHECKPOINT)):
        with pytest.raises(ValueError, match=f"{file} is of a training on other images"):
            gahb.train(quick.but(updates=updates), tmp_path / folder)


def test_the_environment_does_not_accumulate_gradients(quick, tmp_path, monkeypatch):
    gahb.train(quick.but(updates=3), tmp_path / "plain")
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "3")
    gahb.train(quick.but(updates=3), tmp_path / "accumulated")
    assert weights_of(tmp_path / "plain") == weights_of(tmp_path / "accumulated")


def test_training_leaves_the_global_random_stream_alone(quick, tmp_path):
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    gahb.train(quick.but(updates=1), tmp_path)
    gahb.train(quick.but(updates=1), tmp_path)
    assert torch.rand(1) == expected


def test_training_takes_tiny_numbers_as_zero(quick, tmp_path, monkeypatch):
    def is_zero():
        return bool(torch.tensor(1e-30) * 1e-10 == 0)

    def fails(self, *_):
        assert is_zero()
        raise KeyboardInterrupt

    monkeypatch.setattr(loop.Training, "one_update", fails)
    with pytest.raises(KeyboardInterrupt):
        gahb.train(quick, tmp_path)
    assert not is_zero()


def test_snapshots_are_kept_and_read_in_order(quick, tmp_path):
    f = gahb.train(quick, tmp_path, keep_snapshots=True)
    kept = dict(gahb.training.snapshots(quick, tmp_path))
    assert list(kept) == [16, 23, 32, 45, 60]
    for name, weight in f.state_dict().items():  # the last, before it was rounded
        exact = kept[60].state_dict()[name]
        rounded = exact.half().float() if exact.numel() >= loop.ROUNDED_FROM else exact
        assert torch.equal(rounded, weight), name
    y = torch.rand(2, 1, 16, 16)
    assert not torch.allclose(kept[16](y), f(y), atol=1e-2)


TRAIN = """
import sys, torch
torch.set_num_threads(1)
import gahb
from gahb.training import Recipe
gahb.train(Recipe(**eval(sys.argv[1])), sys.argv[2])
"""


def start(recipe, folder, script=TRAIN):
    command = [sys.executable, "-c", script, repr(recipe.as_dict()), str(folder)]
    return subprocess.Popen(command, env={**os.environ, "CI": "1"}, stderr=subprocess.DEVNULL)


def test_killed_and_continued_gives_the_same_bits(quick, tmp_path):
    recipe = quick.but(updates=200, n=100)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert start(recipe, whole).wait() == 0
    process = start(recipe, cut)
    while not (cut / CHECKPOINT).is_file() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (cut / MANIFEST).exists(), "it had finished before it was killed"
    assert start(recipe, cut).wait() == 0
    assert weights_of(cut) == weights_of(whole)
    assert log_of(cut) == log_of(whole)


def test_a_checkpoint_of_another_recipe_is_refused(quick, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY", 5)
    monkeypatch.setattr(loop.Training, "finish", lambda self: None)
    gahb.train(quick.but(updates=5), tmp_path)
    with pytest.raises(ValueError, match=r"checkpoint\.pt is of another recipe"):
        gahb.train(quick.but(updates=6), tmp_path)


def test_a_checkpoint_of_which_one_bit_has_changed_is_refused(quick, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY", 5)
    monkeypatch.setattr(loop.Training, "finish", lambda self: None)
    gahb.train(quick.but(updates=5), tmp_path)
    saved = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    weights = next(iter(saved["network"].values())).numpy().tobytes()
    content = bytearray((tmp_path / CHECKPOINT).read_bytes())
    content[content.index(weights)] ^= 1
    (tmp_path / CHECKPOINT).write_bytes(content)
    with pytest.raises(ValueError, match=r"checkpoint\.pt cannot be read"):
        gahb.train(quick.but(updates=5), tmp_path)


def test_training_again_leaves_what_is_no_snapshot(quick, tmp_path):
    gahb.train(quick, tmp_path, keep_snapshots=True)
    foreign = tmp_path / "snapshots" / "mine.safetensors"
    foreign.write_bytes(b"")
    gahb.train(quick, tmp_path, again=True)
    assert [p.name for p in foreign.parent.iterdir()] == [foreign.name]


def test_files_that_only_look_like_leftovers_stay(tmp_path):
    foreign = [tmp_path / f".model.{'0' * 32}.bin", tmp_path / f".of.gahb-{'0' * 32}.d"]
    foreign[0].write_bytes(b"")
    foreign[1].mkdir()
    ours = tmp_path / f".of.gahb-{'1' * 32}.json"
    ours.write_bytes(b"")
    remove_leftovers(tmp_path, age=0)
    assert all(path.exists() for path in foreign) and not ours.exists()


def test_checkpoints_are_some_time_apart(quick, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY", 5)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 1000)
    monkeypatch.setattr(loop.Training, "finish", lambda self: None)
    gahb.train(quick.but(updates=10), tmp_path)
    assert torch.load(tmp_path / CHECKPOINT, weights_only=True)["update"] == 5


def test_the_seconds_before_an_interruption_count(quick, tmp_path, monkeypatch):
    with monkeypatch.context() as interrupted:
        interrupted.setattr(loop, "CHECKPOINT_EVERY", 5)
        interrupted.setattr(loop, "CHECKPOINT_SECONDS", 1000)
        interrupted.setattr(loop.Training, "finish", lambda self: None)
        gahb.train(quick.but(updates=10), tmp_path)
    checkpoint = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    torch.save(checkpoint | {"seconds": 5000.0}, tmp_path / CHECKPOINT)
    gahb.train(quick.but(updates=10), tmp_path)
    assert 5000 <= read_manifest(tmp_path)["wall_seconds"] < 5900


def test_a_loss_that_is_not_finite_keeps_the_last_good_checkpoint(quick, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY", 5)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0)
    calls = []

    def poisoned(self, update):
        calls.append(1)
        x, z, sigma = batch(self, update)
        return x, z * (math.nan if len(calls) > 12 else 1), sigma

    batch = Batches.__call__
    monkeypatch.setattr(Batches, "__call__", poisoned)
    with pytest.raises(FloatingPointError, match=r"a weight is not finite at update 15; the last"):
        gahb.train(quick, tmp_path)
    checkpoint = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    assert checkpoint["update"] == 10
    assert all(torch.isfinite(value).all() for value in checkpoint["network"].values())
    monkeypatch.setattr(Batches, "__call__", batch)
    gahb.train(quick, tmp_path)
    assert read_manifest(tmp_path)["final"]["update"] == quick.updates


def test_what_fails_while_it_is_written_leaves_nothing(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), atomic_write(target) as temporary:
        temporary.write_text("half of the n")
        raise RuntimeError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def start_two(recipe, folder, path, script=TRAIN):
    """The same training by two processes, in a group of their own; the launcher's process."""
    path.write_text(script)
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(path)]
    return subprocess.Popen(
        [sys.executable, *launch, repr(recipe.as_dict()), str(folder)],
        env={**os.environ, "CI": "1", "ACCELERATE_USE_CPU": "1", "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )


def errors_of(launcher, patience=600):
    """What two processes have written when they have ended; that they wait forever is an error."""
    try:
        return launcher.communicate(timeout=patience)[1]
    except subprocess.TimeoutExpired:
        launcher.terminate()  # which ends both
        raise


@pytest.mark.parametrize("optimizer", [{"optimizer": "adam", "learning_rate": 1e-3}, {}])
def test_two_processes_train_as_one_does(quick, tmp_path, optimizer):
    recipe = quick.but(updates=50, n=100, **optimizer)
    two = start_two(recipe, tmp_path / "two", tmp_path / "train.py")
    assert start(recipe, tmp_path / "one").wait() == 0
    errors = errors_of(two)
    assert two.returncode == 0, errors[-2000:]
    assert [read_manifest(tmp_path / k)["processes"] for k in ("one", "two")] == [1, 2]
    losses = [[x["loss"] for x in log_of(tmp_path / k) if "loss" in x] for k in ("one", "two")]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


def test_when_one_of_two_processes_is_killed_all_end_and_can_go_on(quick, tmp_path):
    recipe = quick.but(updates=120, n=100)
    launcher = start_two(recipe, tmp_path / "two", tmp_path / "train.py")
    while not (tmp_path / "two" / CHECKPOINT).is_file() and launcher.poll() is None:
        time.sleep(0.01)
    workers = subprocess.check_output(["pgrep", "-P", str(launcher.pid)], text=True).split()
    os.kill(int(workers[-1]), signal.SIGKILL)
    errors = errors_of(launcher)
    assert launcher.returncode != 0
    assert "SIGKILL" in errors
    assert not (tmp_path / "two" / MANIFEST).exists(), "it had finished before one was killed"
    # One process goes on where two have stopped.
    gahb.train(recipe, tmp_path / "two")
    gahb.train(recipe, tmp_path / "one")
    one, two = (read_manifest(tmp_path / k)["final"] for k in ("one", "two"))
    assert two["update"] == recipe.updates
    assert two["loss"] == pytest.approx(one["loss"], rel=0.02)


def test_history_reads_the_snapshots_of_a_log(tmp_path):
    levels = [10.0, 20.0]
    gaps = {16: 2.0, 32: 0.0, 64: 1.0, 128: 3.0}
    lines = [
        {"update": u, "snapshot": {"input_psnr": levels, "train": [0, 25 + g], "test": [0, 25]}}
        for u, g in gaps.items()
    ]
    (tmp_path / LOG).write_text("".join(json.dumps(line) + "\n" for line in lines))
    history = gahb.training.history(tmp_path, 20.0)
    assert history.train == {u: 25 + g for u, g in gaps.items()}
    assert history.test == dict.fromkeys(gaps, 25)
    assert history.parted(gap=1.0) == 64
    assert history.parted(gap=2.0) == 128
    assert history.parted(gap=4.0) is None
    with pytest.raises(ValueError, match=r"^input_psnr: 15\.0 has not been logged; accepted: \[10"):
        gahb.training.history(tmp_path, 15.0)
