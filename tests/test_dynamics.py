"""What is measured along a training: known passages, exact denoisers, and what never gets there."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from gahb.book import dynamics as measured
from gahb.book import recipes
from gahb.book.artifacts import verify_stored
from gahb.dynamics import Dynamics, follow, power_law
from gahb.optimal import EmpiricalBayes, Gaussian
from gahb.settings import DamagedError
from gahb.training import Recipe, snapshots, train


def dynamics(updates, copies, on_test, on_train=None):
    """Dynamics of which copies (k, m) and the PSNR (k, n) at 20 dB are known."""
    k, m = copies.shape
    on_train = on_test + 1 if on_train is None else on_train
    nothing = torch.zeros(k, m)
    return Dynamics(
        updates=torch.tensor(updates),
        input_psnr=torch.tensor([20.0]),
        on_train=on_train[:, None],
        on_test=on_test[:, None],
        copies=copies,
        to_train=nothing,
        between=nothing,
        samples=torch.zeros(k, 1, 1, 4, 4, dtype=torch.uint8),
    )


def growing(shares, m=100):
    """Copies (k, m) of which that share is True at each snapshot."""
    return torch.arange(m) < (torch.tensor(shares)[:, None] * m).round()


def test_passages_are_linear_in_the_logarithm_of_updates():
    on_test = torch.tensor([20.0, 24.0, 28.0, 28.0, 26.0])[:, None].expand(5, 9)
    found = dynamics([10, 100, 1000, 10_000, 100_000], growing([0, 0, 0.05, 0.15, 0.9]), on_test)
    assert found.tau_gen(tolerance=2).value == pytest.approx(10**2.5)
    assert found.tau_gen(tolerance=0).value == pytest.approx(1000)
    assert found.tau_psnr(22).value == pytest.approx(10**1.5)
    assert found.tau_psnr(28.5).value == math.inf
    assert found.tau_mem(0.1).value == pytest.approx(10**3.5)
    assert found.tau_mem(0.9).value == pytest.approx(100_000)
    assert found.tau_mem(0.95).value == math.inf


def test_the_gap_opens_between_snapshots_over_images_of_both_sets():
    on_test = torch.tensor([20.0, 24.0, 24.0])[:, None] + torch.linspace(-1, 1, 9)
    found = dynamics([10, 100, 1000], growing([0, 0, 0]), on_test)
    # That they are 5 dB above at first tells of the images alone.
    opening = torch.tensor([25.0, 29.5, 30.5])[:, None, None] + torch.linspace(-1, 1, 8)
    found = replace(found, on_train=opening)
    opened = found.tau_gap(1.0)
    assert opened.value == pytest.approx(10**2.5)
    assert opened.low <= opened.value <= opened.high
    assert found.tau_gap(2.0).value == math.inf


def denoising(updates, on_test, on_train=None):
    """Dynamics of a training that copies nothing."""
    return dynamics(updates, growing([0] * len(updates)), on_test, on_train)


def test_the_gap_counts_from_where_it_was_smallest():
    on_test = torch.full((4, 9), 20.0)
    on_train = on_test + torch.tensor([3.0, 1.0, 1.5, 2.5])[:, None]
    opened = denoising([1, 10, 100, 1000], on_test, on_train).tau_gap(1.0)
    assert opened.value == pytest.approx(10**2.5)  # at 2 dB, from 1 dB on


def test_the_two_sets_of_a_gap_are_resampled_apart():
    # Image by image the same but for 2 dB, they would leave no doubt if they were drawn alike.
    at_last = torch.tensor([[0.0], [0.0], [1.0]])
    on_test = 20 + at_last * torch.randn(200, generator=torch.Generator().manual_seed(0))
    opened = denoising([1, 10, 100], on_test, on_test + 2 * at_last).tau_gap(1.0)
    assert opened.high > 1.05 * opened.low


def test_each_resample_has_its_own_best():
    on_test = torch.arange(9.0).repeat(3, 1)  # at its best from the second snapshot on
    on_test[0] = -30
    assert denoising([1, 10, 100], on_test).tau_gen(0).interval == pytest.approx((10, 10))


def test_an_interval_is_of_95_percent():
    noise = torch.randn(400, generator=torch.Generator().manual_seed(0))
    noise = (noise - noise.mean()) / noise.std()  # of which a mean has a deviation of 1 / 20
    on_test = 20 + torch.arange(4.0)[:, None] - (1.5 + noise)
    low, high = denoising([1, 10, 100, 1000], on_test).tau_psnr(20).interval
    assert math.log10(high / low) == pytest.approx(2 * 1.96 / 20, rel=0.06)


def test_few_units_leave_no_interval():
    on_test = torch.arange(3.0)[:, None].repeat(1, 8)
    copies = growing([0, 0.5, 1], m=7)
    found = dynamics([1, 10, 100], copies, on_test, on_train=2 * on_test[:, :1])
    assert not math.isnan(found.tau_gen(0).low)
    for passage in (found.tau_mem(0.5), found.tau_gap(1.0)):  # 7 samples; one training image
        assert 1 < passage.value < 11
        assert math.isnan(passage.low)


def test_first_snapshot_may_pass_already():
    found = dynamics([10, 100], growing([0.5, 1]), torch.full((2, 9), 30.0))
    assert found.tau_mem(0.1).value == found.tau_gen().value == pytest.approx(10)


def test_intervals_are_over_samples_and_over_test_images():
    torch.manual_seed(0)
    on_test = torch.tensor([20.0, 24.0, 28.0])[:, None] + torch.randn(3, 50)
    found = dynamics([10, 100, 1000], growing([0, 0.05, 0.2], m=40), on_test)
    for passage in (found.tau_mem(0.1), found.tau_gen()):
        assert passage.low < passage.value < passage.high
    # One in five: some resampled sets never have one in three, some do not even on average.
    assert found.tau_mem(0.2).high == math.inf
    assert found.tau_mem(0.2).low < 1000.1


def test_memorizer_copies_and_gaussian_does_not():
    train_images, test = torch.rand(2, 12, 1, 8, 8)
    memorizer, other = EmpiricalBayes(train_images), EmpiricalBayes(test)
    gaussian = Gaussian(train_images.mean(0), train_images.flatten(1).T.cov())
    found = follow(
        [(5, gaussian), (50, memorizer)],
        train_images,
        test,
        other=[(5, gaussian), (20, gaussian), (50, other)],
        samples=6,
        extras={"at zero": lambda f: f(torch.zeros(1, 1, 8, 8), 0.1).mean()},
    )
    assert found.updates.tolist() == [5, 50]
    assert [share.value for share in found.share_of_copies().values()] == [0, 1]
    assert found.to_train[1].min() > 0.999 > found.to_train[0].max()
    assert found.between[0].min() > 0.999 > found.between[1].max()
    assert found.on_train[1, 4].mean() - found.on_test[1, 4].mean() > 10
    assert found.extras["at zero"].shape == (2,)
    assert found.samples.shape == (2, 6, 1, 8, 8)
    shown = found.samples[1].float().flatten(1) / 255 - train_images.flatten(1)[:, None]
    assert shown.abs().amax(2).amin(0).max() < 0.01


def test_the_seed_fixes_the_noise_of_samples():
    x = torch.rand(4, 1, 8, 8)
    first, second = (
        follow([(1, lambda y: 0.5 * y + 0.25)], x, x, samples=2, seed=seed) for seed in (0, 1)
    )
    assert not first.samples.equal(second.samples)


def test_kept_samples_are_clipped():
    x = torch.rand(2, 1, 8, 8)
    found = follow([(1, lambda y: torch.full_like(y, 1.2))], x, x, samples=2)
    assert (found.samples == 255).all()


def test_other_training_may_end_earlier():
    train_images, test = torch.rand(2, 4, 1, 8, 8)
    f = EmpiricalBayes(train_images)
    found = follow([(5, f), (9, f)], train_images, test, other=[(5, f)], samples=3)
    assert found.between[0].min() > 0.999
    assert found.between[1].isnan().all()


def test_diverged_samples_are_no_copies():
    train_images, test = torch.rand(2, 4, 1, 8, 8)
    found = follow([(1, lambda y: 3 * y)], train_images, test, samples=3)
    assert not found.copies.any()
    assert found.to_train.isnan().all()
    assert found.between.isnan().all()


def test_what_is_stored_is_what_was_measured(tmp_path):
    train_images, test = torch.rand(2, 4, 1, 8, 8)
    extras = {"level": lambda f: torch.tensor([1.0, 2.0])}
    found = follow(
        [(1, EmpiricalBayes(train_images))], train_images, test, samples=2, extras=extras
    )
    found.save(tmp_path / "a.safetensors", hash="0")
    again, origin = Dynamics.load(tmp_path / "a.safetensors")
    assert origin == {"hash": "0"}
    for name in ("updates", "input_psnr", "on_train", "on_test", "copies", "to_train", "samples"):
        assert getattr(again, name).equal(getattr(found, name)), name
    assert again.extras["level"].tolist() == [[1, 2]]


def test_a_changed_bit_of_what_is_stored_is_seen(tmp_path, monkeypatch):
    monkeypatch.setenv("GAHB_ARTIFACTS", str(tmp_path))
    monkeypatch.setenv("GAHB_EDITION", "smoke")
    file = tmp_path / "smoke" / "dynamics" / "a.safetensors"
    follow([(1, lambda y: y)], *torch.rand(2, 2, 1, 8, 8), samples=2).save(file, hash="0")
    assert [verdict.good for verdict in verify_stored("smoke")] == [True]
    content = bytearray(file.read_bytes())
    content[-9] ^= 1
    file.write_bytes(content)
    (verdict,) = verify_stored("smoke")
    command = "run: python -m gahb train a --keep-snapshots --again && python -m gahb dynamics a"
    assert verdict.name == "dynamics/a.safetensors"
    assert "is no whole measurement of a training" in verdict.problem
    assert verdict.problem.endswith(command)


def test_snapshots_of_a_training_can_be_followed(tmp_path):
    recipe = Recipe(
        name="a", edition="smoke", images="leaves", size=8, n=4, subset="S1", network="unet",
        depth=1, width=4, updates=20, batch=4,
    )  # fmt: skip
    train(recipe, tmp_path, keep_snapshots=True)
    found = follow(
        snapshots(recipe, tmp_path), recipe.train_images(), recipe.test_images(4), samples=3
    )
    assert found.updates.tolist() == [16, 20]
    assert found.copies.shape == (2, 3)
    # Its four training images are repeated for the measurement, and count once.
    assert found.on_train.shape == found.on_test.shape == (2, 9, 4)


def test_dynamics_of_an_edition_that_ships_none_are_measured_once(
    artifacts, quick, monkeypatch, capsys
):
    monkeypatch.setenv("GAHB_EDITION", "smoke")
    recipe = quick.but(updates=2)
    monkeypatch.setattr(recipes, "every", lambda edition=None: {recipe.name: recipe})
    train(recipe)  # without snapshots
    found = measured.dynamics(recipe.name)
    path = artifacts / "smoke" / "dynamics" / f"{recipe.name}.safetensors"
    written = path.stat().st_mtime_ns
    assert measured.dynamics(recipe.name).copies.equal(found.copies)
    assert path.stat().st_mtime_ns == written

    found.save(path, hash="other")
    with pytest.raises(ValueError, match=r"^name: .* other weights; run: python -m gahb"):
        measured.dynamics(recipe.name)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DamagedError, match=f"run: python -m gahb train {recipe.name} .*dynamics"):
        measured.dynamics(recipe.name)


def test_snapshots_must_fit():
    x = torch.rand(4, 1, 8, 8)
    with pytest.raises(ValueError, match=r"^snapshots: there are none"):
        follow([], x, x)
    for others in ([], [(2, None)], [(1, None), (7, None)]):
        with pytest.raises(ValueError, match=r"^other: has no snapshot at update 5"):
            follow([(5, EmpiricalBayes(x))], x, x, other=others, samples=2)
    found = dynamics([1], growing([0]), torch.zeros(1, 3))
    with pytest.raises(ValueError, match=r"^input_psnr: \[7.0\]; accepted: some with 20 dB"):
        replace(found, input_psnr=torch.tensor([7.0])).tau_gen()


def test_power_law_is_fitted_to_what_is_finite():
    n = [10, 100, 1000, 10_000, 100_000]
    law = power_law(n, [*(3 * x**0.8 for x in n[:4]), math.inf])
    assert law.points == 4
    assert law.exponent.value == pytest.approx(0.8)
    assert law.prefactor == pytest.approx(3)
    assert law(1e6) == pytest.approx(3 * 1e6**0.8)
    with pytest.raises(ValueError, match=r"^tau: 2 finite values"):
        power_law(n[:3], [1, 2, math.inf])


def test_exponents_interval_is_students():
    n, tau = [1, 10, 100, 1000], [1, 12, 90, 1100]
    x, y = np.log(n), np.log(tau)
    residual = y - np.polyval(np.polyfit(x, y, 1), x)
    deviation = math.sqrt((residual**2).sum() / 2 / ((x - x.mean()) ** 2).sum())
    low, high = power_law(n, tau).exponent.interval
    assert high - low == pytest.approx(2 * 4.302653 * deviation)  # t of two degrees of freedom


def test_exponents_interval_covers():
    torch.manual_seed(0)
    n = torch.logspace(1, 4, 7)
    laws = (power_law(n.tolist(), (n * (0.3 * torch.randn(7)).exp()).tolist()) for _ in range(300))
    covered = sum(law.exponent.low < 1 < law.exponent.high for law in laws)
    assert 0.92 < covered / 300 < 0.98
