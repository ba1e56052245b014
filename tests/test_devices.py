"""What is there for GPUs, tested without one: on a second device in software."""

import pytest
import torch
from accelerate import Accelerator
from elsewhere import DEVICE, Apple, Elsewhere, Far
from torch import nn
from torch.func import jvp

import gahb
from gahb import devices, optimal, similarity
from gahb.bandlets import OracleBandlets
from gahb.basis.jacobian import jacobian_at
from gahb.training import loop
from gahb.training.loop import Batches
from gahb.training.record import read_manifest


class Damped(nn.Module):
    """A network that is not trained, but removes so much that the sampler comes to an end."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.network = gahb.UNet(1, 8)

    def forward(self, y):
        return 0.9 * y + 0.01 * self.network(y)


@pytest.fixture
def f():
    """A denoiser on the CPU."""
    return gahb.Denoiser(Damped())


@pytest.fixture
def far_f(there):
    """The same denoiser on the second device."""
    return gahb.Denoiser(Damped()).to(DEVICE)


class FromTheCpu(torch.Generator):
    """Random numbers for whatever device, from the CPU's generator."""

    def __new__(cls, device=None):
        return super().__new__(cls)


class FarAccelerator(Accelerator):
    """One that has found the second device."""

    device = DEVICE


@pytest.fixture(params=[Elsewhere, Apple])
def there(request, monkeypatch):
    """The second device, in use: one that can do all, and one that can do what Apple's GPUs can."""
    monkeypatch.setattr(torch, "Generator", FromTheCpu)
    if request.param is Elsewhere:
        monkeypatch.setattr(devices, "COMPLETE", (*devices.COMPLETE, DEVICE.type))
    with request.param() as mode:
        yield mode


# The second device


def test_tensors_of_two_devices_do_not_mix(there):
    here, far = torch.ones(2), torch.ones(2, device=DEVICE)
    assert isinstance(far, Far)
    with pytest.raises(RuntimeError, match="expected all tensors to be on the same device"):
        here + far
    assert (far + torch.tensor(1.0)).device == DEVICE
    assert (far.cpu() + here).tolist() == [2, 2]


def test_reading_a_value_counts_as_a_wait(there):
    far = 2 * torch.ones(2, device=DEVICE) + torch.ones(2).to(DEVICE)
    assert there.waits == 0
    assert float(far.sum()) == 6
    assert there.waits == 1
    far.cpu()
    assert there.waits == 2


def test_apples_gpus_lack_double_precision_and_eigenvectors():
    with Apple():
        far = torch.eye(2, device=DEVICE)
        for convert in (far.double, lambda: far.to("cpu", torch.float64)):
            with pytest.raises(TypeError, match="Cannot convert a MPS Tensor to float64"):
                convert()
        with pytest.raises(NotImplementedError, match="linalg_eigh"):
            torch.linalg.eigh(far)
        assert torch.eye(2).double().to(far).device == DEVICE


def test_double_precision_is_left_to_the_cpu_where_a_gpu_has_none(there):
    x = devices.in_double(torch.ones(2, device=DEVICE))
    assert x.dtype == torch.float64
    assert x.device == (torch.device("cpu") if isinstance(there, Apple) else DEVICE)
    assert torch.equal(devices.in_double(0.1), torch.tensor(0.1, dtype=torch.float64))


# Everything on one device


def test_a_denoiser_computes_on_its_device(f, far_f):
    y = torch.rand(2, 1, 16, 16)
    here = f(y)
    far = far_f(y.to(DEVICE))
    assert far.device == DEVICE
    assert torch.equal(far.cpu(), here)


def test_a_denoiser_takes_images_from_the_cpu_and_gives_them_back(f, far_f):
    x = torch.rand(2, 1, 16, 16)
    estimate = far_f(x)
    assert type(estimate) is torch.Tensor
    assert torch.equal(estimate, f(x))
    curves = [gahb.psnr_curve(g, x, [20]).per_image for g in (f, far_f)]
    assert torch.allclose(*curves, atol=1e-4)


def test_what_was_trained_is_loaded_where_it_computes_fastest(quick, artifacts, monkeypatch, there):
    gahb.train(quick.but(updates=2))

    def second(check_available=False):  # torch itself asks as well, for its random numbers
        return DEVICE if check_available else None

    monkeypatch.setattr(torch.accelerator, "current_accelerator", second)
    loaded = gahb.train(quick.but(updates=2))
    assert {p.device for p in loaded.parameters()} == {DEVICE}


def test_the_sampler_draws_the_same_on_another_device(f, far_f):
    here = gahb.sample(f, 3, 16, seed=0, sigma_end=0.3)
    far = gahb.sample(far_f, 3, 16, seed=0, sigma_end=0.3)
    assert far.images.device == torch.device("cpu")
    assert torch.allclose(far.images, here.images, atol=1e-5)


def test_a_curve_is_the_same_on_another_device(f, far_f):
    x = torch.rand(5, 1, 16, 16)
    here = gahb.psnr_curve(f, x, [10, 20])
    far = gahb.psnr_curve(far_f, x.to(DEVICE), [10, 20], batch_size=2)
    assert torch.allclose(far.per_image, here.per_image, atol=1e-4)


def test_a_jacobian_is_the_same_on_another_device(f, far_f):
    y = torch.rand(1, 1, 8, 8)
    which = torch.arange(0, 64, 9)
    with jacobian_at(f, y) as J:
        here = J.rows(which)
    with jacobian_at(far_f, y.to(DEVICE)) as J:
        far = J.rows(which)
    assert far.device == DEVICE
    assert torch.allclose(far.cpu(), here, atol=1e-6)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # torch's
def test_a_derivative_in_forward_mode_is_the_same_on_another_device(f, far_f):
    y, v = torch.rand(2, 1, 1, 8, 8)
    here = jvp(f, (y,), (v,))[1]
    far = jvp(far_f, (y.to(DEVICE),), (v.to(DEVICE),))[1]
    assert far.device == DEVICE
    assert torch.equal(far.cpu(), here)


@pytest.mark.parametrize("k", [None, 5])
def test_a_basis_is_the_same_on_another_device(f, far_f, k):
    y = torch.rand(1, 1, 8, 8)
    here = gahb.adaptive_basis(f, y, k, tolerance=1e-4)
    far = gahb.adaptive_basis(far_f, y.to(DEVICE), k, tolerance=1e-4)
    assert far.eigenvectors.device == DEVICE
    assert torch.allclose(far.eigenvalues.cpu(), here.eigenvalues, atol=1e-5)
    assert far.asymmetry == pytest.approx(here.asymmetry, rel=1e-3)


PIXELS = torch.eye(256)
EXACT = {
    "bandlets": OracleBandlets,
    "disks": lambda x: optimal.Disks(16),
    "empirical": optimal.EmpiricalBayes,
    "gaussian": optimal.Gaussian.of,
    "mixture": lambda x: optimal.GaussianMixture(torch.ones(3) / 3, x, PIXELS.expand(3, -1, -1)),
    "oracle": lambda x: optimal.OracleBasis(x, PIXELS.view(-1, 1, 16, 16)),
    "ray": lambda x: optimal.Ray(16),
    "sines": lambda x: optimal.Sines(16),
    "wrapped": lambda x: gahb.wrap(lambda u, sigma: u / sigma[:, None, None, None], "sigma"),
}


@pytest.mark.parametrize("kind", EXACT)
def test_an_exact_denoiser_computes_for_another_device(kind, there):
    x, y = torch.rand(2, 3, 1, 16, 16)
    f = EXACT[kind](x).at(0.3)
    here = f(y)
    # Where there is no double precision it stays on the CPU.
    far = (f if isinstance(there, Apple) else f.to(DEVICE))(y.to(DEVICE))
    assert far.device == DEVICE
    assert far.dtype == y.dtype
    assert torch.allclose(far.cpu(), here, atol=1e-6)


def test_each_image_may_have_a_noise_level_from_another_device(there):
    x, sigma = torch.rand(3, 1, 16, 16), torch.tensor([0.1, 0.2, 0.3])
    for f in (
        optimal.EmpiricalBayes(x),
        gahb.wrap(lambda u, s: u / s[:, None, None, None], "sigma"),
    ):
        here = f(x, sigma)
        far = f.to(DEVICE)(x.to(DEVICE), sigma.to(DEVICE))
        assert torch.allclose(far.cpu(), here, atol=1e-6)


@pytest.mark.parametrize(
    "measure",
    [
        lambda x, train: similarity.cosine_similarity(x[:3], train[:3]),
        lambda x, train: similarity.closest(x, train, k=2).value,
        lambda x, train: similarity.closest(x, train, k=2, by="distance").value,
        lambda x, train: similarity.closest((255 * x).to(torch.uint8), train).value,
        lambda x, train: similarity.verdicts(x, train[:4], train[4:]).ratio,
        lambda x, train: similarity._affinity(x, train[:4], train[4:], lambda y: y, 0)[0],
    ],
)
def test_a_similarity_is_the_same_on_another_device(measure, there):
    x, train = torch.rand(5, 1, 8, 8), torch.rand(8, 1, 8, 8)
    here = measure(x, train)
    assert here.dtype == torch.float64
    assert torch.equal(measure(x.to(DEVICE), train.to(DEVICE)).cpu(), here)


def test_a_risk_is_the_same_on_another_device(f, far_f):
    y = torch.rand(3, 1, 8, 8)
    here, far = gahb.sure(f, y, 0.1), gahb.sure(far_f, y.to(DEVICE), 0.1)
    assert torch.allclose(far.per_image, here.per_image, rtol=1e-3)


@pytest.mark.parametrize("optimizer", ["muon", "adam"])
def test_a_training_waits_for_its_device_only_to_log(
    quick, tmp_path, monkeypatch, there, optimizer
):
    monkeypatch.setattr(loop, "FINAL_IMAGES", 8)
    recipe = quick.but(updates=6, optimizer=optimizer)
    gahb.train(recipe, tmp_path / "here")
    monkeypatch.setattr(loop, "Accelerator", FarAccelerator)
    waits = []
    one_update = loop.Training.one_update

    def counted(self, forward, batch):
        before = there.waits
        assert {part.device for part in batch} == {DEVICE}
        result = one_update(self, forward, batch)
        waits.append(there.waits - before)
        return result

    monkeypatch.setattr(loop.Training, "one_update", counted)
    gahb.train(recipe, tmp_path / "far")
    assert waits == [0] * 6
    here, far = (read_manifest(tmp_path / name)["final"] for name in ("here", "far"))
    assert far["loss"] == pytest.approx(here["loss"], rel=0.02)


def test_a_batch_is_made_without_waiting(quick, there):
    images = torch.zeros(10, 1, 16, 16, dtype=torch.uint8, device=DEVICE)
    x, z, sigma = Batches(quick, images)(3)
    assert x.device == z.device == sigma.device == DEVICE
    assert there.waits == 0


# Precision and compiling


@pytest.mark.parametrize(
    ("gpu", "native", "cpu_chosen", "expected"),
    [
        (True, True, "0", "bf16"),
        (True, False, "0", "no"),
        (True, True, "1", "no"),
        (False, True, "0", "no"),
    ],
)
def test_bf16_is_used_where_it_is_native(monkeypatch, gpu, native, cpu_chosen, expected):
    monkeypatch.setenv("ACCELERATE_USE_CPU", cpu_chosen)
    found = torch.device("cuda") if gpu else None
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: found)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native)
    assert devices.mixed_precision() == expected


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch's
def test_compiling_changes_nothing_but_the_speed():
    torch.manual_seed(0)
    network = gahb.UNet(1, 8)
    y = torch.rand(4, 1, 16, 16)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    fast = devices.compiled(network, y, backend="aot_eager")
    assert fast is not network
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters())
    assert torch.allclose(fast(y), network(y), atol=1e-5)


def test_what_cannot_be_compiled_trains_all_the_same():
    def backend(graph, inputs):
        raise NotImplementedError("no such kernel\nand more")

    network = gahb.UNet(1, 8)
    with pytest.warns(UserWarning, match=r"^torch\.compile: .*; going on without it$"):
        assert devices.compiled(network, torch.rand(4, 1, 16, 16), backend) is network


# Memory


def out_of_memory():
    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def test_batches_shrink_until_they_fit():
    sizes = []

    def run(items):
        sizes.append(items.stop - items.start)
        if sizes[-1] > 3:
            raise out_of_memory()
        return list(range(items.start, items.stop))

    results = devices.in_batches(run, n=10, size=8)
    assert [i for result in results for i in result] == list(range(10))
    assert sizes == [8, 4, 2, 2, 2, 2, 2]


def test_one_item_that_does_not_fit_is_an_error():
    def run(items):
        raise out_of_memory()

    with pytest.raises(torch.OutOfMemoryError):
        devices.in_batches(run, n=4, size=4)


def test_other_errors_are_not_tried_again():
    calls = []

    def run(items):
        calls.append(items)
        raise RuntimeError("another")

    with pytest.raises(RuntimeError, match="another"):
        devices.in_batches(run, n=4, size=4)
    assert len(calls) == 1


def test_curve_sampler_and_jacobian_go_on_with_less_memory(f):
    x = torch.rand(9, 1, 16, 16)

    class Small(gahb.denoiser.BaseDenoiser):
        def forward(self, y):
            if len(y) > 2:
                raise out_of_memory()
            return f(y)

    small = Small()
    assert torch.allclose(
        gahb.psnr_curve(small, x, [10]).per_image, gahb.psnr_curve(f, x, [10]).per_image
    )
    drawn = [gahb.sample(g, 5, 16, seed=0, sigma_end=0.3).images for g in (small, f)]
    assert torch.allclose(*drawn, atol=1e-5)


def test_a_gpu_gets_what_its_free_memory_holds(monkeypatch):
    gib = 2**30
    cuda = {
        "reset_peak_memory_stats": 0,
        "memory_allocated": 1 * gib,
        "max_memory_allocated": 1 * gib + 10 * 2**20,
        "memory_reserved": 3 * gib,
        "mem_get_info": (6 * gib, 8 * gib),
    }
    for name, value in cuda.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)
    x = torch.rand(2, 1, 8, 8)
    seen = []

    class OnGpu:
        device = torch.device("cuda")

        def __getitem__(self, items):
            return x[items]

    # A quarter of 6 + 3 - 1 GiB free, 10 MiB an image.
    assert devices.images_at_a_time(lambda y: seen.append(len(y)), OnGpu()) == 204
    assert seen == [1]
    assert devices.images_at_a_time(lambda y: y, x) == 64
