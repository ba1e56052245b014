"""The report on two denoisers: what it compares, what it concludes, and which sets it refuses."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from gahb.book.figures.report import report_curves, report_images, report_similarities
from gahb.metrics import psnr_curve
from gahb.optimal import EmpiricalBayes, Gaussian
from gahb.report import Report, memorization_report
from gahb.sampling import sample
from gahb.similarity import VERDICTS, closest, cosine_similarity, fractions, verdicts

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
        judged = verdicts(x, own, other)
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


@pytest.mark.parametrize("compared", [N, 2])
def test_it_is_read_as_it_was_saved(compared, tmp_path) -> None:
    report = memorizers(input_psnr=None, compared=compared)
    report.save(tmp_path / "report.json", seed=0)
    again = Report.load(tmp_path / "report.json")
    assert (again.n, again.verdicts) == (N, report.verdicts)
    for name in ("between", "to_train", "ratio", "between_sets"):
        expected = getattr(report, name)
        torch.testing.assert_close(getattr(again, name), expected, atol=1e-4, rtol=0)
    assert torch.equal(again.closest, report.closest)
    assert torch.equal(again.steps, report.steps)
    assert str(again) == str(report)
    assert again.samples.shape[1] == 0


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
    assert rows["largest train - test gap, dB"][0] == f"{largest:.2f}"
    assert float(rows["similarity of A's and B's samples"][0]) == pytest.approx(
        float(memorized.between.quantile(0.5)), abs=0.005
    )
    assert max(map(len, lines)) <= 80


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


def test_colors_are_drawn_gray() -> None:
    train = images(4, 1, channels=3), images(4, 2, channels=3)
    report = memorization_report(
        *(EmpiricalBayes(x) for x in train), *train, samples=2, input_psnr=[10]
    )
    assert report.verdict == "memorized"
    ax = report_images(report, count=2)
    mosaic = torch.as_tensor(ax.images[0].get_array().filled(torch.nan))
    gray = report.nearest[0, 0].mean(0)
    torch.testing.assert_close(mosaic[:SIDE, :SIDE], gray, check_dtype=False)


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
        ({"test": torch.full((2, 1, SIDE, SIDE), torch.nan)}, ValueError, r"^test: nan is not"),
        ({"samples": 0}, ValueError, r"^samples: 0 is not a whole number of at least 1$"),
        ({"input_psnr": []}, ValueError, r"^input_psnr: \[\] is not"),
        ({"schedule": "slow"}, ValueError, r"^schedule: 'slow' is unknown"),
    ],
)
def test_bad_arguments(changes, error, message) -> None:
    arguments = {"train_a": images(N, 1), "train_b": images(N, 2), "samples": 2} | changes
    with pytest.raises(error, match=message):
        memorization_report(exact(), exact(), **arguments)


def test_more_columns_than_samples_are_refused(memorized) -> None:
    with pytest.raises(ValueError, match=r"^count: 13 is not a whole number from 1 to 12$"):
        report_images(memorized, count=13)
