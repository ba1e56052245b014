"""Algorithm 1 against its closed forms, image by image, and given linear measurements."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gahb.denoiser import BaseDenoiser
from gahb.optimal import EmpiricalBayes
from gahb.sampling import (
    Measurement,
    Samples,
    Schedule,
    algorithm,
    inpainting,
    random_projection,
    sample,
    super_resolution,
)
from gahb.sampling.algorithm import Noise
from gahb.similarity import closest

SIDE = 16


def images(n: int, side: int = SIDE, channels: int = 1, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((n, channels, side, side), generator=generator)


def point(x: Tensor):
    """The exact denoiser of a single image: blind, since the image is the answer at any sigma."""
    return lambda y: x.expand_as(y)


class Counting(BaseDenoiser):
    """The exact denoiser of several images, which counts the noisy images it was given."""

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        self.exact = EmpiricalBayes(x)
        self.seen = 0
        self.told: list[Tensor] = []

    def forward(self, y: Tensor, sigma: Tensor | None = None) -> Tensor:
        self.told.append(sigma)
        self.seen += len(y)
        return self.exact(y, sigma)


def bistable(y: Tensor) -> Tensor:
    """A blind, nonlinear denoiser without a network: smooth patches go to black or to white."""
    smooth = F.avg_pool2d(y - 0.5, 3, stride=1, padding=1, count_include_pad=False)
    return 0.5 + 0.5 * torch.tanh(4 * smooth)


# --- the schedule ---


class Orthogonal:
    """Noise without chance: each has length sqrt(d) and is orthogonal to all before it."""

    def __init__(self, seed: int, images: range, shape: tuple[int, ...]) -> None:
        self.shape, self.drawn = shape, 0

    def draw(self, which: list[int]) -> Tensor:
        z = torch.zeros(len(which), math.prod(self.shape))
        z[:, self.drawn] = z.shape[1] ** 0.5
        self.drawn += 1
        return z.unflatten(1, self.shape)


@pytest.mark.parametrize(("schedule", "expected"), [("fixed", 2995), ("accelerated", 97)])
def test_steps_with_the_exact_denoiser_of_a_point(schedule, expected, monkeypatch) -> None:
    """Without chance in the noise, the noise level is exactly that of the schedule."""
    monkeypatch.setattr(algorithm, "Noise", Orthogonal)
    x = images(1, side=64)
    drawn = sample(point(x), 1, 64, seed=0, schedule=schedule, mean=x[0])
    assert drawn.steps.tolist() == [expected] == [Schedule(kind=schedule).exact_steps()]
    assert torch.equal(drawn.images, x)
    steps = Schedule(0.01, 0.1, 1.0, 0.05, schedule)
    factors = torch.tensor([steps.shrinkage(t) for t in range(1, expected + 1)])
    torch.testing.assert_close(drawn.sigma[0, 1:], factors.cumprod(0), rtol=1e-3, atol=0)


def test_steps_with_noise_are_within_sampling_error() -> None:
    x = images(1, side=32)
    drawn = sample(point(x), 16, 32, seed=0, mean=x[0])
    assert drawn.steps.double().mean() == pytest.approx(97, rel=0.05)
    assert torch.equal(drawn.images, x.expand(16, -1, -1, -1))


@pytest.mark.parametrize(
    ("schedule", "h", "beta"), [("fixed", 0.1, 0.1), ("accelerated", 0.01, 0.5)]
)
def test_noise_level_follows_the_schedule_within_sampling_error(schedule, h, beta) -> None:
    """sigma_t^2 = |(1 - h_t) e + g z|^2 / d for unit noises e (known, |e|^2 = d) and z."""
    n, d = 16, 32 * 32
    drawn = sample(point(images(1, 32)), n, 32, seed=1, h=h, beta=beta, schedule=schedule)
    steps = Schedule(h, beta, 1.0, 0.05, schedule)
    deviations = []
    for t in range(1, int(drawn.steps.min()) + 1):
        g = steps.injected(t)
        spread = math.sqrt((4 * (1 - steps.size(t)) ** 2 * g**2 + 2 * g**4) / d)
        variance = (drawn.sigma[:, t] / drawn.sigma[:, t - 1]) ** 2
        deviations.append((variance - (1 - beta * steps.size(t)) ** 2) / spread)
    scores = torch.stack(deviations).flatten()
    assert abs(scores.mean()) < 4 / math.sqrt(len(scores))
    assert scores.std() == pytest.approx(1, abs=0.1)


def test_step_sizes_are_those_of_the_two_schedules() -> None:
    fixed = Schedule(0.01, 0.1, 1.0, 0.05, "fixed")
    accelerated = Schedule(0.01, 0.1, 1.0, 0.05, "accelerated")
    assert [fixed.size(t) for t in (1, 50)] == [0.01, 0.01]
    assert accelerated.size(1) == 0.01
    assert accelerated.size(100) == pytest.approx(1 / 1.99)


def test_without_noise_the_path_is_straight() -> None:
    x = images(1)
    drawn = sample(point(x), 2, SIDE, seed=0, h=0.2, beta=1.0, schedule="fixed", keep=[0, 1, 5])
    start, first, fifth = drawn.trajectory.noisy.unbind(1)
    torch.testing.assert_close(first, start.lerp(x, 0.2))
    torch.testing.assert_close(fifth, x + 0.8**5 * (start - x))


def test_it_starts_from_the_mean() -> None:
    mean = images(1)[0]
    drawn = sample(point(mean), 200, SIDE, seed=0, sigma_0=0.5, mean=mean, keep=[0])
    noise = (drawn.trajectory.noisy[:, 0] - mean) / 0.5
    assert abs(noise.mean()) < 4 / math.sqrt(noise.numel())
    assert noise.std() == pytest.approx(1, abs=0.02)


# --- noise and batches ---


def test_one_batch_equals_batches_of_one() -> None:
    together, alone = (
        sample(bistable, 64, SIDE, seed=0, h=0.1, sigma_end=0.2, batch_size=b, keep=[3, 20])
        for b in (64, 1)
    )
    assert len(set(together.steps.tolist())) > 1, "images must finish at different steps"
    assert torch.equal(together.steps, alone.steps)
    torch.testing.assert_close(together.images, alone.images, atol=1e-4, rtol=0)
    torch.testing.assert_close(together.trajectory.noisy, alone.trajectory.noisy, atol=1e-4, rtol=0)
    torch.testing.assert_close(together.sigma, alone.sigma, atol=1e-4, rtol=0, equal_nan=True)


def test_two_denoisers_meet_the_same_noise() -> None:
    """About its own mean, each point denoiser goes the same way: it is the noise alone."""
    keep = [0, 1, 2, 40, 80]
    ways = [
        sample(point(torch.full((1, 1, 1, 1), c)), n, SIDE, seed=5, mean=c, keep=keep)
        for c, n in ((0.2, 3), (0.7, 5))
    ]
    first, second = ways[0].trajectory.noisy - 0.2, ways[1].trajectory.noisy[:3] - 0.7
    torch.testing.assert_close(first, second, atol=1e-5, rtol=0)
    assert not torch.allclose(first[0], first[1], atol=0.1)


def test_seeds_and_steps_have_noise_of_their_own() -> None:
    def draws(seed: int) -> Tensor:
        noise = Noise(seed, range(2), (1, 64, 64))
        return torch.cat([noise.draw([0, 1]), noise.draw([0, 1])])

    rows = torch.cat([draws(0), draws(1)]).flatten(1)
    correlation = rows @ rows.T / rows.shape[1] - torch.eye(8)
    assert correlation.abs().max() < 5 * math.sqrt(2 / rows.shape[1])


def test_noise_of_an_image_does_not_depend_on_the_others() -> None:
    many, one = Noise(3, range(4), (1, 4, 4)), Noise(3, range(2, 3), (1, 4, 4))
    many.draw([0, 1, 2, 3])
    one.draw([2])
    assert torch.equal(many.draw([0, 2])[1:], one.draw([2]))


def test_finished_images_cost_nothing_more() -> None:
    f = Counting(images(5))
    drawn = sample(f, 20, SIDE, seed=0, batch_size=8)
    assert len(set(drawn.steps.tolist())) > 1, "images must finish at different steps"
    assert f.seen == int((drawn.steps + 1).sum())


# --- what it gives ---


def test_memorizing_gives_back_the_training_images() -> None:
    x = images(4)
    drawn = sample(EmpiricalBayes(x), 40, SIDE, seed=0)
    found = closest(drawn.images, x, by="distance")
    assert found.value.max() < 1e-3
    assert set(found.index.flatten().tolist()) == set(range(4))


def test_exact_denoisers_are_told_the_level_of_each_image() -> None:
    f = Counting(images(3))
    drawn = sample(f, 6, SIDE, seed=0)
    assert torch.equal(f.told[0], torch.ones(6))
    shrinkage = Schedule(0.01, 0.1, 1.0, 0.05, "accelerated").shrinkage
    for t in (1, 2, 10):
        torch.testing.assert_close(f.told[t], shrinkage(t) * drawn.sigma[:, t - 1])


def test_sigma_and_steps_agree() -> None:
    drawn = sample(EmpiricalBayes(images(3)), 10, SIDE, seed=0, sigma_end=0.1)
    for sigma, steps in zip(drawn.sigma, drawn.steps.tolist(), strict=True):
        assert (sigma[:steps] >= 0.1).all()
        assert sigma[steps] < 0.1
        assert sigma[steps + 1 :].isnan().all()
    assert drawn.sigma.shape == (10, 1 + int(drawn.steps.max()))
    assert drawn.trajectory is None


def test_trajectory_holds_states_and_their_one_shot_denoising() -> None:
    keep = [7, 0, 2, 10_000]
    drawn = sample(bistable, 6, SIDE, seed=0, h=0.1, sigma_end=0.2, batch_size=4, keep=keep)
    way = drawn.trajectory
    assert way.steps.tolist() == keep
    assert way.noisy.shape == way.denoised.shape == (6, 4, 1, SIDE, SIDE)
    denoised = bistable(way.noisy.flatten(0, 1)).unflatten(0, (6, 4))
    torch.testing.assert_close(way.denoised, denoised, atol=1e-4, rtol=0)
    assert torch.equal(way.denoised[:, 3], drawn.images)
    last = drawn.sigma.gather(1, drawn.steps[:, None])[:, 0]
    torch.testing.assert_close(way.sigma, torch.stack([*drawn.sigma.T[[7, 0, 2]], last], dim=1))


def test_an_image_that_ended_before_a_kept_step_stays_as_it_ended() -> None:
    drawn = sample(point(images(1)), 8, SIDE, seed=0, h=0.3, keep=range(60))
    for i, steps in enumerate(drawn.steps.tolist()):
        ended = drawn.trajectory.noisy[i, steps:]
        assert torch.equal(ended, ended[:1].expand_as(ended))
        assert not torch.equal(drawn.trajectory.noisy[i, steps - 1], ended[0])


def test_color_and_oblong_images_and_double_precision() -> None:
    x = images(2, channels=3).double()[..., :8]
    drawn = sample(EmpiricalBayes(x), 3, (SIDE, 8), seed=0, channels=3)
    assert drawn.images.shape == (3, 3, SIDE, 8)
    assert drawn.images.dtype == torch.float32


def test_nothing_is_recorded_for_gradients() -> None:
    weight = torch.tensor(0.5, requires_grad=True)
    drawn = sample(lambda y: weight.expand_as(y), 2, SIDE, seed=0, keep=[0, 5])
    assert not drawn.images.requires_grad
    assert not drawn.trajectory.denoised.requires_grad


# --- failures ---


class FailingWhereBright(BaseDenoiser):
    """A point denoiser, but for images that start bright: for these it fails, at the first step."""

    def __init__(self, failure) -> None:
        super().__init__()
        self.failure, self.calls = failure, 0

    def forward(self, y: Tensor) -> Tensor:
        self.calls += 1
        failing = is_bright(y)[:, None, None, None] & (self.calls == 1)
        return torch.where(failing, self.failure(y), images(1))


def is_bright(y: Tensor) -> Tensor:
    return y.mean((1, 2, 3)) > 0.5


def starts(n: int, seed: int) -> Tensor:
    return 0.5 + Noise(seed, range(n), (1, SIDE, SIDE)).draw(list(range(n)))


@pytest.mark.parametrize(
    "failure",
    [lambda y: y * float("nan"), lambda y: y + 100, lambda y: y / 0],
    ids=["nan", "far", "infinite"],
)
def test_divergence_names_the_images(failure) -> None:
    bad = is_bright(starts(12, seed=0)).nonzero().flatten().tolist()
    assert 0 < len(bad) < 10
    named = ", ".join(map(str, bad))
    with pytest.raises(RuntimeError, match=f"^f: images {named} diverged: .* above 2$"):
        sample(FailingWhereBright(failure), 12, SIDE, seed=0)


def test_slow_divergence_is_found_too() -> None:
    with pytest.raises(RuntimeError, match=r"^f: images 0, 1 diverged"):
        sample(lambda y: -y, 2, SIDE, seed=0, h=0.5, beta=0.01)


def test_too_few_steps_names_the_images() -> None:
    x = images(1)
    steps = sample(point(x), 8, SIDE, seed=0).steps
    limit = int(steps.sort().values[5])
    late = (steps > limit).nonzero().flatten().tolist()
    named = ", ".join(map(str, late))
    message = f"^max_steps: images {named} did not fall below sigma_end = 0.05 in {limit} steps$"
    with pytest.raises(RuntimeError, match=message):
        sample(point(x), 8, SIDE, seed=0, max_steps=limit)
    assert sample(point(x), 8, SIDE, seed=0, max_steps=int(steps.max())).steps.equal(steps)


def test_a_denoiser_that_never_finishes_is_given_up() -> None:
    stuck = "in 291 steps$"  # 3 times 97
    with pytest.raises(
        RuntimeError, match=rf"^max_steps: images 0, 1, .*, 9 and 2 others .*{stuck}"
    ):
        sample(lambda y: y - 0.1, 12, 8, seed=0)


# --- measurements ---


def left(x: Tensor, width: int) -> Measurement:
    return inpainting(x, (torch.arange(SIDE) < width).expand(SIDE, SIDE))


def half(x: Tensor) -> Measurement:
    return left(x, SIDE // 2)


MEASUREMENTS = {
    "inpainting": half,
    "super_resolution": lambda x: super_resolution(x, 4),
    "random_projection": lambda x: random_projection(x, 30),
}


@pytest.mark.parametrize("kind", MEASUREMENTS)
@pytest.mark.parametrize("channels", [1, 3])
def test_measurements_are_orthonormal_projections(kind, channels) -> None:
    x = images(2, channels=channels)
    known = MEASUREMENTS[kind](x)
    c = torch.randn(known.values.shape)
    torch.testing.assert_close(known.forward(known.adjoint(c)), c, atol=1e-5, rtol=0)
    inner = (known.forward(x) * c).sum()
    torch.testing.assert_close(inner, (x * known.adjoint(c)).sum(), atol=1e-3, rtol=1e-4)
    other = known.impose(images(2, channels=channels, seed=1))
    torch.testing.assert_close(known.forward(other), known.values, atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", MEASUREMENTS)
def test_samples_have_the_measurements_and_differ_elsewhere(kind) -> None:
    known = MEASUREMENTS[kind](images(1, seed=2))
    drawn = sample(bistable, 4, SIDE, seed=0, h=0.1, sigma_end=0.3, measurement=known).images
    measured = known.forward(drawn)
    torch.testing.assert_close(measured, known.values.expand_as(measured), atol=1e-4, rtol=0)
    assert (drawn[0] - drawn[1]).abs().max() > 0.01


@pytest.mark.parametrize(
    "known",
    [lambda x: left(x, 14), lambda x: super_resolution(x, 4), lambda x: random_projection(x, 150)],
    ids=["inpainting", "super_resolution", "random_projection"],
)
def test_measurements_choose_among_the_memorized(known) -> None:
    """As they do where most of what tells the images apart was measured."""
    x = images(6, side=4).repeat_interleave(4, -1).repeat_interleave(4, -2)
    which = torch.tensor([4, 0, 4, 2])
    drawn = sample(EmpiricalBayes(x), 4, SIDE, seed=0, measurement=known(x[which]), batch_size=3)
    torch.testing.assert_close(drawn.images, x[which], atol=1e-3, rtol=0)


def test_the_start_has_the_measurements_up_to_noise() -> None:
    x = images(1)
    drawn = sample(point(x), 100, SIDE, seed=0, measurement=half(x), mean=0.2, keep=[0])
    start = drawn.trajectory.noisy[:, 0].mean(0)[0]
    expected = torch.where(torch.arange(SIDE) < SIDE // 2, x[0, 0], torch.tensor(0.2))
    assert (start - expected).abs().max() < 5 / math.sqrt(100)


def test_averages_are_those_of_blocks() -> None:
    x = images(1)
    averages = super_resolution(x, 8).values / 8
    torch.testing.assert_close(averages[0, 0, 1, 0], x[0, 0, 8:, :8].mean())


def test_a_small_picture_enlarged_has_the_same_averages() -> None:
    small = images(1, side=4)
    enlarged = small.repeat_interleave(4, -1).repeat_interleave(4, -2)
    torch.testing.assert_close(super_resolution(enlarged, 4).values, 4 * small)


def test_unseen_pixels_are_not_read() -> None:
    x = images(1)
    x[..., SIDE // 2 :] = float("nan")
    assert sample(point(images(1)), 2, SIDE, seed=0, measurement=half(x)).images.isfinite().all()


# --- bad input ---


def run(**changed) -> Samples:
    arguments = {"f": point(images(1)), "n": 2, "size": SIDE, "seed": 0, **changed}
    return sample(**arguments)


def scaled(factor: float) -> Measurement:
    known = half(images(1))
    return Measurement(known.values, known.forward, lambda c: factor * known.adjoint(c))


def shifted() -> Measurement:
    """A right inverse of the measurements, but not their transpose."""
    known = half(images(1))
    smear = torch.arange(SIDE) >= SIDE // 2

    def adjoint(c: Tensor) -> Tensor:
        image = known.adjoint(c)
        return image + smear * image.sum(-1, keepdim=True)

    return Measurement(known.values, known.forward, adjoint)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"n": 0}, "^n: 0 is not a whole"),
        ({"size": (8, 8, 8)}, r"^size: \(8, 8, 8\) is not"),
        ({"size": 0}, "^size: 0 is not"),
        ({"channels": 0}, "^channels: 0 is not"),
        ({"seed": -1}, "^seed: -1 is not"),
        ({"seed": 0.5}, "^seed: 0.5 is not"),
        ({"h": 0.0}, "^h: 0.0 is not"),
        ({"h": 1.5}, "^h: 1.5 is not"),
        ({"beta": 0.0}, "^beta: 0.0 is not"),
        ({"beta": float("nan")}, "^beta: nan is not"),
        ({"sigma_0": -1.0}, "^sigma_0: -1.0 is not"),
        ({"sigma_end": 2.0}, r"^sigma_end: 2.0 is not a finite number in \[.*, 1\]"),
        ({"schedule": "slow"}, "^schedule: 'slow' is unknown; accepted: accelerated, fixed"),
        ({"batch_size": 0}, "^batch_size: 0 is not"),
        ({"max_steps": 0}, "^max_steps: 0 is not"),
        ({"keep": [0, -1]}, "^keep: -1 is not"),
        ({"mean": "gray"}, "^mean: str is not"),
        ({"mean": torch.zeros(3, 3)}, r"^mean: shape \(3, 3\) is not"),
        ({"mean": float("nan")}, "^mean: is not finite"),
        ({"f": lambda y: y[..., 1:]}, r"^f: gives \(2, 1, 16, 15\) for images of shape"),
        ({"f": lambda y: None}, "^f: gives NoneType for images"),
        ({"measurement": half(images(3))}, "^measurement: 3 of them; accepted: 1, or n = 2"),
        ({"measurement": half(images(1)), "size": 8}, r"^measurement: is of images \(1, 16, 16\)"),
        ({"measurement": scaled(0.5)}, "^measurement: adjoint does not fit"),
        ({"measurement": shifted()}, "^measurement: adjoint does not fit"),
    ],
)
def test_bad_input_gives_one_clear_line(changed, message) -> None:
    with pytest.raises((ValueError, TypeError), match=message) as error:
        run(**changed)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: inpainting(x, torch.ones(SIDE, SIDE)), "^mask: is not a bool"),
        (lambda x: inpainting(x, torch.ones(3, 3, dtype=torch.bool)), r"^mask: shape \(3, 3\)"),
        (lambda x: inpainting(x, torch.zeros(SIDE, SIDE, dtype=torch.bool)), "^mask: .* 0 true"),
        (lambda x: super_resolution(x, 5), r"^factor: 5 does not divide the sides, \(16, 16\)"),
        (lambda x: super_resolution(x, 0), "^factor: 0 is not"),
        (lambda x: random_projection(x, 257), "^m: 257 is not"),
        (lambda x: random_projection(x[0], 3), "^x: shape"),
    ],
)
def test_bad_measurements_give_one_clear_line(call, message) -> None:
    with pytest.raises((ValueError, TypeError), match=message) as error:
        call(images(1))
    assert "\n" not in str(error.value)


def test_a_quiet_start_has_the_bound_and_the_patience_of_a_usual_one() -> None:
    quiet = Schedule(sigma_0=0.1)
    assert quiet.bound == 2
    assert quiet.patience() == 3 * 97
