"""The report on two denoisers: what it compares, what it concludes, and which sets it refuses."""

import base64
import math
import re
from dataclasses import replace
from html import escape
from io import BytesIO

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from gahb.basis import adaptive_basis
from gahb.book.figures.report import (
    report_curves,
    report_images,
    report_page,
    report_similarities,
)
from gahb.denoiser import BaseDenoiser
from gahb.metrics import psnr_curve
from gahb.optimal import EmpiricalBayes, Gaussian
from gahb.report import Report, memorization_report, result
from gahb.report.result import NO_IMAGES
from gahb.sampling import sample
from gahb.similarity import (
    VERDICTS,
    closest,
    cosine_similarity,
    fractions,
    same_image,
    verdicts,
)

N, SIDE = 6, 8
VARIANCE = 0.02


def images(n: int, seed: int, channels: int = 1) -> Tensor:
    """Independent Gaussian pixels around gray, and as good as never beyond black and white."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(n, channels, SIDE, SIDE, generator=generator)
    return (0.5 + VARIANCE**0.5 * z).clamp(0, 1)


def exact() -> Gaussian:
    """The denoiser that knows the density of the images, rather than some of them."""
    mean = torch.full((1, SIDE, SIDE), 0.5)
    return Gaussian(mean, VARIANCE * torch.eye(mean.numel()))


def memorizers(count: int = N, **sets) -> Report:
    train = images(count, 1), images(count, 2)
    return memorization_report(*(EmpiricalBayes(x) for x in train), *train, samples=12, **sets)


@pytest.fixture(scope="module")
def memorized() -> Report:
    return memorizers(test=images(40, 3))


@pytest.fixture(scope="module")
def generalized() -> Report:
    return memorization_report(exact(), exact(), images(100, 1), images(100, 2), samples=48)


# --- what it concludes ---


def test_exact_memorizers_memorize(memorized) -> None:
    assert memorized.verdict == "memorized"
    assert memorized.verdicts == (("memorized",) * 12,) * 2
    assert memorized.to_train.min() > 0.99
    assert all(gap.value.abs().max() > 50 for gap in memorized.gaps)
    assert memorized.between.median() < 0.5
    assert memorized.nearer == "training set"


def test_what_knows_the_density_draws_new_images(generalized) -> None:
    assert generalized.verdict == "new"
    for each, to_train, gap in zip(
        generalized.verdicts, generalized.to_train, generalized.gaps, strict=True
    ):
        assert fractions(each)["new"].value > 0.8
        assert to_train.median() < 0.5
        assert (gap.low < 0.1).all() and (gap.high > -0.1).all()
    assert generalized.between.min() > 0.99
    assert generalized.nearer == "other denoiser"


def test_a_single_training_image_each() -> None:
    report = memorizers(count=1)
    assert report.verdict == "memorized"
    assert "undefined for N = 1" in str(report)
    assert "nan" not in str(report).replace("[nan, nan]", "")


def test_medians_that_cannot_be_told_apart_leave_it_undecided(memorized) -> None:
    alike = replace(memorized, between=memorized.to_train[0])
    assert alike.nearer == "undecided"


def test_the_verdict_is_on_the_samples_of_both(memorized, generalized) -> None:
    copies = ("memorized",) * 4 + ("new",) * 8
    mixed = replace(memorized, verdicts=(copies, generalized.verdicts[1][:12]))
    found = mixed.fractions
    copied = mixed.verdicts[1].count("memorized")
    assert found["memorized"].value == pytest.approx((4 + copied) / 24)
    assert mixed.verdict == "new"


# --- exact cases, each from several seeds ---


class Plus(BaseDenoiser):
    """A denoiser with an error of its own, the same in every image."""

    def __init__(self, f: BaseDenoiser, size: float = 0.01) -> None:
        super().__init__()
        self.f, self.error = f, size * (images(1, 9) - 0.5) / VARIANCE**0.5

    def forward(self, y: Tensor, sigma: float | Tensor | None = None) -> Tensor:
        return self.f(y, sigma) + self.error


class Rescaled(BaseDenoiser):
    """The denoiser of which the estimate was taken for the noise: a wrong prediction type."""

    def __init__(self, f: BaseDenoiser) -> None:
        super().__init__()
        self.f = f

    def forward(self, y: Tensor, sigma: float | Tensor | None = None) -> Tensor:
        level = torch.as_tensor(sigma).to(y).reshape(-1, 1, 1, 1)
        return y - level * (2 * self.f(y, sigma) - 1)


class Copying(BaseDenoiser):
    """The posterior mean of a density that draws training images in a share of cases."""

    def __init__(self, train: Tensor, share: float) -> None:
        super().__init__()
        self.train, self.copy, self.share = train.double(), EmpiricalBayes(train), share

    def forward(self, y: Tensor, sigma: float | Tensor | None = None) -> Tensor:
        level = torch.as_tensor(sigma).double().reshape(-1, 1)
        squares = (y.double().flatten(1)[:, None] - self.train.flatten(1)).square().sum(2)
        d = y[0].numel()
        copied = (-squares / (2 * level**2)).logsumexp(1) - math.log(len(self.train))
        copied -= d / 2 * (2 * math.pi * level[:, 0] ** 2).log()
        odds = copied - exact().log_density(y, sigma) + math.log(self.share / (1 - self.share))
        weight = odds.sigmoid().view(-1, 1, 1, 1).to(y)
        return weight * self.copy(y, sigma) + (1 - weight) * exact()(y, sigma)


def pair(make, count: int, seed: int = 0, **options) -> Report:
    """The report on what ``make`` makes of two training sets."""
    train = images(count, 10 * seed + 4), images(count, 10 * seed + 5)
    options = {"samples": 16, "seed": seed, "input_psnr": [5, 15, 25], **options}
    return memorization_report(*map(make, train), *train, images(60, 10 * seed + 6), **options)


@pytest.mark.parametrize("count", [1, 2, 10, 100])
def test_memorizers_and_generalizers_of_any_number_of_images(count) -> None:
    for seed in range(2):
        copies, fresh = pair(EmpiricalBayes, count, seed), pair(lambda x: exact(), count, seed)
        assert (copies.verdict, copies.nearer) == ("memorized", "training set")
        assert (fresh.verdict, fresh.nearer) == ("new", "other denoiser")
        assert fresh.fractions["spurious"].value < 0.35
        assert all(copies.denoises) and all(fresh.denoises)


@pytest.mark.parametrize(
    "make",
    [
        lambda x: lambda y: y,
        lambda x: torch.zeros_like,
        lambda x: lambda y: 1.03 * y + 0.01,
        lambda x: Rescaled(EmpiricalBayes(x)),
        lambda x: Rescaled(exact()),
    ],
)
def test_what_does_not_denoise_gets_no_other_verdict(make) -> None:
    report = pair(make, 20, samples=images(32, 77).split(16))
    assert report.verdict == "not a denoiser"
    assert report.denoises == (False, False)
    assert "Verdict: not a denoiser: A and B." in str(report)
    assert "prediction type" in str(report)


def test_one_that_does_not_denoise_is_named() -> None:
    train = images(20, 4), images(20, 5)
    report = memorization_report(exact(), torch.zeros_like, *train, samples=8, input_psnr=[5, 15])
    assert "Verdict: not a denoiser: B." in str(report)


@pytest.mark.parametrize("noise", [0.0, 0.002])
def test_an_image_and_its_duplicates_are_one(noise) -> None:
    """Copies with an error of 1 gray level in 100, of sets that hold each image twice."""
    for seed in range(2):
        distinct = images(12, seed + 1), images(12, seed + 101)
        again = [x + noise * (images(12, 50) - 0.5) / VARIANCE**0.5 for x in distinct]
        sets = [torch.cat(both).clamp(0, 1) for both in zip(distinct, again, strict=True)]
        models = [Plus(EmpiricalBayes(x)) for x in sets]
        report = memorization_report(*models, *sets, samples=16, seed=seed, input_psnr=None)
        assert report.verdict == "memorized"
        assert report.fractions["memorized"].value > 0.9
        assert [found.value for found in report.duplicated] == [1, 1]
    assert all(found.value == 0 for found in pair(exact_of, 12, input_psnr=None).duplicated)


def exact_of(train: Tensor) -> Gaussian:
    return exact()


def test_mirrored_and_shifted_copies_are_found_if_asked_for() -> None:
    flipped = pair(lambda x: EmpiricalBayes(x.flip(3)), 12, input_psnr=None)
    assert flipped.fractions["memorized"].value == 0
    flips = pair(lambda x: EmpiricalBayes(x.flip(3)), 12, input_psnr=None, flips=True)
    assert flips.fractions["memorized"].value == 1
    shifts = pair(lambda x: EmpiricalBayes(x.roll((1, -1), (2, 3))), 12, input_psnr=None, shifts=1)
    assert shifts.fractions["memorized"].value == 1
    for option in ({"flips": True}, {"shifts": 1}):
        fresh = pair(exact_of, 12, input_psnr=None, samples=48, **option)
        assert fresh.verdict == "new"
        assert fresh.fractions["memorized"].value == 0
        assert fresh.fractions["spurious"].value < 0.2


def test_images_that_are_all_alike_are_not_all_the_same() -> None:
    """Small differences from a common image: what lies close by chance is no recurrence."""
    common = 0.5 + 0.4 * torch.linspace(-1, 1, SIDE).expand(1, 1, SIDE, SIDE)
    x = [(common + 0.3 * (images(n, i) - 0.5)).clamp(0, 1) for n, i in ((20, 1), (20, 2), (90, 3))]
    assert closest(x[2], x[0]).value.median() > 0.96
    f = Gaussian(common[0], 0.3**2 * VARIANCE * torch.eye(SIDE**2))
    report = memorization_report(f, f, *x, samples=24, input_psnr=None, sigma_end=0.01)
    assert report.verdict == "new"
    fixed = memorization_report(f, f, *x, samples=24, input_psnr=None, sigma_end=0.01, same=0.95)
    assert fixed.verdict != "new"
    copies = [EmpiricalBayes(train) for train in x[:2]]
    assert memorization_report(*copies, *x, samples=16, input_psnr=None).verdict == "memorized"


def test_one_that_copies_and_one_that_does_not_are_told_apart() -> None:
    train = images(20, 4), images(20, 5)
    report = memorization_report(EmpiricalBayes(train[0]), exact(), *train, images(60, 6))
    assert report.verdict == "A memorized, B new"
    assert "Verdict: A memorized, B new." in str(report)


def test_the_share_of_copies_depends_on_the_sampler() -> None:
    train, test = images(20, 4), images(60, 6)
    f = Copying(train, share=0.5)
    options = {"train_a": train, "test": test, "samples": 60, "input_psnr": None}
    found = memorization_report(
        f, **options, sampler="ancestral", steps=60, sigma_end=0.02
    ).fractions["memorized"]
    assert found.low < 0.5 < found.high
    assert memorization_report(f, **options).fractions["memorized"].value < found.value


# --- one model, own samples, samples that fail ---


def test_one_model_is_enough() -> None:
    train, test = images(20, 4), images(7, 6)  # fewer than it was trained on
    report = memorization_report(EmpiricalBayes(train), train_a=train, test=test, samples=12)
    assert (report.verdict, report.nearer) == ("memorized", "undecided")
    assert len(report.gaps) == 1 and report.gaps[0].value[3:].min() > 20
    assert str(report).startswith("A was trained on 20 images.\n12 samples; fractions")
    assert report_images(report, count=3).get_yticklabels()[1].get_text() == "sample of A"
    assert report_similarities(report).get_ylabel() == "N = 20"
    assert len(report_curves(report)) == 2


def test_samples_of_any_origin_are_judged() -> None:
    train, test = images(20, 4), images(60, 6)
    own = torch.cat([train[:6], images(6, 7)])
    report = memorization_report(train_a=train, test=test, samples=own)
    assert report.fractions["memorized"].value == 0.5
    assert report.on_test == () and report.samples.equal(own[None])
    both = memorization_report(
        exact(), exact(), train, images(20, 5), test, samples=[own, own], input_psnr=[5, 15]
    )
    assert both.between.min() > 0.999 and len(both.on_test) == 2


def test_samples_that_fail_are_left_out_in_both() -> None:
    class Failing(BaseDenoiser):
        def forward(self, y: Tensor, sigma: float | Tensor | None = None) -> Tensor:
            bad = y.mean((1, 2, 3), keepdim=True) > 0.6  # some of the starts
            return torch.where(bad, torch.nan, exact()(y, sigma))

    train = images(20, 4), images(20, 5)
    report = memorization_report(Failing(), exact(), *train, samples=16, input_psnr=None)
    kept = 16 - len(report.left_out)
    assert 0 < kept < 16
    assert report.to_train.shape == (2, kept) and report.samples.isfinite().all()
    assert "Samples that diverged, left out: " in str(report)
    with pytest.raises(RuntimeError, match=r"^samples: all 4 diverged\. Likely causes: "):
        memorization_report(lambda y: y / 0, exact(), *train, samples=4, input_psnr=None)


def test_noise_levels_that_a_schedule_does_not_reach_are_cut_before() -> None:
    """Neither 1.0, where sampling starts by default, nor the smallest noise."""

    class Limited(BaseDenoiser):
        limits = (0.08, 0.6)
        called = 0

        def forward(self, y: Tensor, sigma: float | Tensor | None = None) -> Tensor:
            levels = torch.as_tensor(sigma).double()
            assert levels.min() >= 0.08 - 1e-6 and levels.max() <= 0.6 + 1e-6
            self.called += 1
            return exact()(y, sigma)

    train, test, f = images(20, 4), images(40, 6), Limited()
    told = (
        r"^noise levels: the models take sigma from 0.08 to 0.6; left out: 0, 25 dB; "
        r"sigma_0 is 0.6, not 1; sigma_end is 0.08, not 0.05$"
    )
    options = {"train_a": train, "test": test, "samples": 6}
    with pytest.warns(UserWarning, match=told):
        report = memorization_report(f, **options, input_psnr=[0, 10, 25])
    assert report.on_test[0].x.tolist() == [10] and report.verdict == "new"
    with pytest.warns(UserWarning, match=r"sigma_end is 0.08, not 0.01$"):
        memorization_report(f, **options, sampler="ode", steps=4, sigma_0=0.5, input_psnr=None)
    f.called = 0
    with pytest.raises(ValueError, match=r"^input_psnr: 40; accepted: .* from 0.08 to 0.6$"):
        memorization_report(f, **options, input_psnr=[40])
    for name, level in (("sigma_0", 0.7), ("sigma_end", 0.07)):
        with pytest.raises(ValueError, match=rf"^{name}: {level} is not a .* in \[0.08, 0.6\]$"):
            sample(f, 2, SIDE, 0, **{"sigma_0": 0.6, "sigma_end": 0.08, name: level})
    assert f.called == 0


# --- what it compares ---


def test_it_compares_samples_from_the_same_noise() -> None:
    train = images(N, 1), images(N, 2)
    models = [EmpiricalBayes(x) for x in train]
    test = images(40, 3)
    options = {"sigma_0": 0.8, "sigma_end": 0.1}
    levels = [5, 15, 25]
    report = memorization_report(
        *models, *train, test, samples=5, seed=7, input_psnr=levels, **options
    )
    drawn = [sample(f, 5, SIDE, 7, **options) for f in models]
    torch.testing.assert_close(report.between, cosine_similarity(*(d.images for d in drawn)))
    for i, (f, own, other) in enumerate(zip(models, train, reversed(train), strict=True)):
        x = drawn[i].images
        assert torch.equal(report.samples[i], x)
        assert torch.equal(report.steps[i], drawn[i].steps)
        found = closest(x, own)
        assert torch.equal(report.closest[i], found.index[:, 0])
        assert torch.equal(report.nearest[i], own[found.index[:, 0]])
        torch.testing.assert_close(report.to_train[i], found.value[:, 0])
        judged = verdicts(x, own, torch.cat([other, test]), same=same_image(test))
        assert report.verdicts[i] == judged.each
        torch.testing.assert_close(report.ratio[i], judged.ratio)
        repeated = own.repeat(22, 1, 1, 1)[:128]
        curves = (
            psnr_curve(f, repeated, levels, 7),
            psnr_curve(f, test.repeat(4, 1, 1, 1)[:128], levels, 7),
        )
        torch.testing.assert_close(report.on_train[i].per_image, curves[0].per_image)
        torch.testing.assert_close(report.on_test[i].per_image, curves[1].per_image)
        torch.testing.assert_close(report.gaps[i].value, (curves[0] - curves[1]).value)
    torch.testing.assert_close(report.between_sets, closest(*train).value[:, 0])


def test_each_is_tested_on_the_set_of_the_other_if_need_be(generalized) -> None:
    for on_test, other in zip(generalized.on_test, (2, 1), strict=True):
        unseen = images(100, other).repeat(2, 1, 1, 1)[:128]
        expected = psnr_curve(exact(), unseen, range(0, 41, 5))
        torch.testing.assert_close(on_test.per_image, expected.per_image)


def test_bytes_and_gray_levels_are_the_same() -> None:
    stored = [(255 * images(N, seed)).round().to(torch.uint8) for seed in (1, 2)]
    models = [EmpiricalBayes(x) for x in stored]
    reports = [
        memorization_report(*models, *sets, samples=4, input_psnr=[10, 20])
        for sets in (stored, [x / 255 for x in stored])
    ]
    torch.testing.assert_close(reports[0].nearest, reports[1].nearest)
    for curve, same in zip(reports[0].on_train, reports[1].on_train, strict=True):
        torch.testing.assert_close(curve.per_image, same.per_image)


@pytest.mark.parametrize(("compared", "levels"), [(N, None), (2, [5, 15])])
def test_it_is_read_as_it_was_saved(compared, levels, tmp_path) -> None:
    report = memorizers(input_psnr=levels, compared=compared)
    report.save(tmp_path / "report.json", seed=0)
    again = Report.load(str(tmp_path / "report.json"))
    assert (again.n, again.verdicts) == (N, report.verdicts)
    for name in ("between", "to_train", "ratio", "between_sets"):
        expected = getattr(report, name)
        torch.testing.assert_close(getattr(again, name), expected, atol=1e-4, rtol=0)
    for name in ("closest", "steps", "samples", "nearest"):
        assert torch.equal(getattr(again, name), getattr(report, name))
    assert str(again) == str(report)
    for name in ("gaps", "gains", "affine"):
        assert len(getattr(again, name)) == (0 if levels is None else 2)
    for curve, expected in zip(again.gaps, report.gaps, strict=True):
        assert torch.equal(curve.low, expected.low) and curve.sets.keys() == expected.sets.keys()


def test_what_was_not_saved_with_it_is_refused(memorized, tmp_path) -> None:
    file, other = tmp_path / "report.json", tmp_path / "report.safetensors"
    memorized.save(file)
    other.write_bytes(other.read_bytes()[:-1] + b"?")
    with pytest.raises(ValueError, match=r"report.safetensors does not belong to report.json$"):
        Report.load(file)
    bare = replace(memorized, samples=NO_IMAGES, nearest=NO_IMAGES, on_train=(), on_test=())
    replace(bare, affine=()).save(file)  # which needs no second file
    assert Report.load(file).samples.shape[1] == 0
    with pytest.raises(FileNotFoundError, match=r"^path: there is nothing at "):
        Report.load(tmp_path / "none.json")
    with pytest.raises(ValueError, match=r"^path: report.safetensors; accepted: another ending"):
        memorized.save(other)


def test_tensors_of_something_else_are_not_overwritten(memorized, tmp_path) -> None:
    model = tmp_path / "model.safetensors"
    model.write_bytes(b"weights")
    with pytest.raises(ValueError, match=r"^path: model.safetensors is there, and not that of"):
        memorized.save(tmp_path / "model.json")
    assert model.read_bytes() == b"weights"
    assert not model.with_suffix(".json").exists()


def test_a_report_that_cannot_be_replaced_stays(memorized, tmp_path, monkeypatch) -> None:
    file = tmp_path / "report.json"
    memorized.save(file)

    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(result, "write_json", full)
    with pytest.raises(OSError, match="No space"):
        replace(memorized, samples=memorized.samples[:1]).save(file)
    assert torch.equal(Report.load(file).samples, memorized.samples)


@pytest.mark.parametrize("content", ["[1]", '{"weights": 2}'])
def test_what_is_no_report_is_not_read_as_one(content, tmp_path) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(ValueError, match=r"a\.json"):
        Report.load(tmp_path / "a.json")


# --- how it reads and looks ---


def test_it_prints_what_was_measured(memorized) -> None:
    lines = str(memorized).splitlines()
    assert lines[0] == "A and B were trained on 6 images each, none in common."
    assert lines[1].startswith("12 samples each, from the same noise;")
    assert lines[-2:] == [
        "Verdict: memorized (100% of samples).",
        "Samples are more like: training set.",
    ]
    rows = {line[:36].strip(): line[36:].split() for line in lines if len(line) > 36}
    for label in VERDICTS:
        expected = [str(fractions(each)[label]) for each in memorized.verdicts]
        assert " ".join(rows[f"samples that are {label}"]) == " ".join(expected)
    largest = memorized.gaps[0].value.max()
    assert rows["largest train - test gap, dB"][0] == f"{largest:.1f}"
    assert float(rows["similarity of A's and B's samples"][0]) == pytest.approx(
        float(memorized.between.quantile(0.5)), abs=0.005
    )
    assert max(map(len, lines)) <= 80


def test_its_page_holds_all_of_it(memorized, tmp_path) -> None:
    open_before = plt.get_fignums()
    report_page(memorized, tmp_path / "report.html", title="A < B")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<h1>A &lt; B</h1>" in page
    assert "<strong>Verdict: memorized (100% of samples).</strong> Samples are more like" in page
    for name, values in memorized.table.items():
        cells = "".join(f"<td>{value}</td>" for value in values)
        assert f'<th scope="row">{escape(name)}</th>{cells}' in page
    sources = re.findall(r'<img alt="([^"]+)" src="([^"]+)">', page)
    assert len(sources) == page.count("<img") == 3 and not re.search(r"https?:|<script|<link", page)
    sizes = []
    for text, source in sources:
        kind, data = source.split(",")
        assert kind == "data:image/png;base64" and re.search(r"\d\.\d", text)
        sizes.append(Image.open(BytesIO(base64.b64decode(data))).size)
    assert min(map(min, sizes)) > 200
    assert plt.get_fignums() == open_before
    one = memorization_report(train_a=images(20, 4), samples=images(5, 7))
    report_page(one, tmp_path / "one.html")
    assert (tmp_path / "one.html").read_text(encoding="utf-8").count("<img alt=") == 2


def test_what_takes_long_shows_its_progress(monkeypatch) -> None:
    bars = []

    class Bar:
        def __init__(self, total: int, desc: str, **_) -> None:
            self.desc, self.left = desc, total
            bars.append(self)

        def update(self, n: int = 1) -> None:
            self.left -= n

        def __enter__(self) -> "Bar":
            return self

        def __exit__(self, *_) -> None:
            pass

    monkeypatch.setattr("gahb.settings.tqdm", Bar)
    train = images(20, 4)
    for sampler in ("algorithm 1", "ancestral"):
        memorization_report(exact(), train_a=train, test=train / 2, samples=3, sampler=sampler)
    adaptive_basis(exact(), train[:1], sigma=0.1)
    assert {bar.desc for bar in bars} == {"sampling", "PSNR", "Jacobian"}
    assert [bar.left for bar in bars] == [0] * len(bars)


def test_it_is_drawn(memorized) -> None:
    ax = report_images(memorized, count=3)
    assert [label.get_text() for label in ax.get_xticklabels()] == [
        f"{similarity:.2f}" for similarity in memorized.between[:3]
    ]
    mosaic = torch.as_tensor(ax.images[0].get_array().filled(torch.nan))
    torch.testing.assert_close(mosaic[:SIDE, :SIDE], memorized.nearest[0, 0, 0], check_dtype=False)
    second = slice(SIDE + 1, 2 * SIDE + 1)
    torch.testing.assert_close(mosaic[second, :SIDE], memorized.samples[0, 0, 0], check_dtype=False)
    histogram = report_similarities(memorized)
    medians = [line.get_xdata()[0] for line in histogram.lines]
    expected = [memorized.between.quantile(0.5), memorized.to_train.flatten().quantile(0.5)]
    assert medians == [pytest.approx(float(value), abs=1e-6) for value in expected]
    left, right = report_curves(memorized)
    drawn = [tuple(line.get_ydata()) for line in left.lines]
    for curve in memorized.on_train + memorized.on_test:
        assert tuple(curve.value.tolist()) in drawn
    gap_lines = [tuple(line.get_ydata()) for line in right.lines]
    for gap in memorized.gaps:
        assert tuple(gap.value.tolist()) in gap_lines


@pytest.mark.parametrize("channels", [3, 4])
def test_colors_are_drawn_in_color_and_codes_gray(channels) -> None:
    train = images(4, 1, channels=channels), images(4, 2, channels=channels)
    report = memorization_report(
        *(EmpiricalBayes(x) for x in train), *train, samples=2, input_psnr=[10]
    )
    assert report.verdict == "memorized"
    ax = report_images(report, count=2)
    mosaic = torch.as_tensor(np.ma.filled(ax.images[0].get_array(), np.nan))
    nearest = report.nearest[0, 0]
    expected = nearest.movedim(0, 2) if channels == 3 else nearest.mean(0)[:, :, None]
    drawn = mosaic.reshape(*mosaic.shape[:2], -1)[:SIDE, :SIDE, :3]
    torch.testing.assert_close(drawn, expected, check_dtype=False)


# --- what it refuses ---


@pytest.mark.parametrize("as_bytes", [False, True])
def test_sets_that_share_images_are_refused(as_bytes) -> None:
    first, second = (255 * images(N, 1)).round() / 255, (255 * images(N, 2)).round() / 255
    mixed = torch.cat([first[:2], second[2:]])
    stored, otherwise_rounded = (255 * mixed).round().to(torch.uint8), (mixed - 1e-6).clamp(min=0)
    mixed = stored if as_bytes else otherwise_rounded
    f = exact()
    with pytest.raises(ValueError, match=r"^train_b: 2 of its images are in train_a; accepted:"):
        memorization_report(f, f, first, mixed)
    with pytest.raises(ValueError, match=r"^test: 4 of its images are in train_b; accepted:"):
        memorization_report(f, f, images(N, 4), second, mixed)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"train_b": images(5, 2)}, ValueError, r"^train_b: 5 images; accepted: 6, as in train_a$"),
        ({"train_b": images(N, 2)[..., :4]}, ValueError, r"^train_b: images of \(1, 8, 4\);"),
        ({"test": images(N, 2)[0]}, ValueError, r"^test: shape"),
        ({"train_a": 2 * images(N, 1) - 1}, ValueError, r"^train_a: -.* is not a finite number in"),
        (
            {"test": torch.full((2, 1, SIDE, SIDE), torch.nan)},
            ValueError,
            r"^test: holds NaN or infinity",
        ),
        ({"samples": 0}, ValueError, r"^samples: 0 is not a whole number of at least 1$"),
        ({"input_psnr": []}, ValueError, r"^input_psnr: \[\] is not"),
        ({"schedule": "slow"}, ValueError, r"^schedule: 'slow' is unknown"),
        ({"samples": [images(2, 3)] * 2, "sampler": "slow"}, ValueError, r"^sampler: 'slow' is "),
        ({"samples": [images(2, 3)] * 2, "beta": 1}, TypeError, r"^beta: has no use where "),
    ],
)
def test_bad_arguments(changes, error, message) -> None:
    arguments = {"train_a": images(N, 1), "train_b": images(N, 2), "samples": 2} | changes
    with pytest.raises(error, match=message):
        memorization_report(exact(), exact(), **arguments)


def test_more_columns_than_samples_are_refused(memorized) -> None:
    with pytest.raises(ValueError, match=r"^count: 13 is not a whole number from 1 to 12$"):
        report_images(memorized, count=13)
