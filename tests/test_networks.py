"""The two architectures: sizes, homogeneity, receptive fields, and the released checkpoints."""

import copy

import pytest
import torch
import torch.nn.functional as F

import gahb
from gahb.networks import (
    BFCNN,
    BiasFreeNorm,
    UNet,
    divided_by_deviation,
    from_released,
    receptive_field,
)


def randomize(network):
    """Give every weight and running deviation a value of its own, as training would."""
    generator = torch.Generator().manual_seed(1)
    for name, tensor in network.state_dict().items():
        if "norm" in name:
            tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
    return network.eval()


@pytest.mark.parametrize(
    ("blocks", "parameters"), [(1, 366_080), (2, 1_825_024), (3, 7_659_264), (4, 30_993_152)]
)
def test_unet_has_the_parameters_of_table_1(blocks, parameters):
    with torch.device("meta"):
        network = UNet(blocks, width=64)
    assert sum(p.numel() for p in network.parameters()) == parameters


def test_bfcnn_has_the_released_number_of_parameters():
    assert sum(p.numel() for p in BFCNN().parameters()) == 702_784


@pytest.mark.parametrize("network", [UNet(2, 8), BFCNN(6, 8), UNet(1, 4, channels=3)])
@pytest.mark.parametrize("factor", [0.1, 10.0])
def test_a_denoiser_is_homogeneous(network, factor):
    f = gahb.Denoiser(randomize(network))
    y = torch.randn(2, network.channels, 16, 16, generator=torch.Generator().manual_seed(0))
    scaled, expected = f(factor * y), factor * f(y)
    assert (scaled - expected).norm() <= 1e-4 * expected.norm()


def test_no_parameter_or_buffer_is_additive():
    y = torch.zeros(1, 1, 16, 16)
    for network in (UNet(2, 8), BFCNN(6, 8)):
        assert randomize(network)(y).abs().max() == 0


def test_evaluation_folds_the_scale_without_changing_the_output():
    network = randomize(UNet(2, 8))
    y = torch.randn(2, 1, 16, 16)
    folded = network(y)
    for module in network.modules():
        if isinstance(module, gahb.networks.NormalizedConv):
            module.forward = lambda x, m=module: F.relu(m.conv(x) * m.norm.scale()[:, None, None])
    assert torch.allclose(network(y), folded, atol=1e-5)


def test_the_norm_divides_by_the_deviation_and_keeps_the_mean():
    x = 3 + 2 * torch.randn(8, 2, 16, 16, generator=torch.Generator().manual_seed(0))
    norm = BiasFreeNorm(2)
    output = norm(x)
    assert torch.allclose(output.std(dim=(0, 2, 3), correction=0), torch.ones(2), atol=1e-3)
    assert (output.mean(dim=(0, 2, 3)) - 1.5).abs().max() < 0.1
    deviation = x.std(dim=(0, 2, 3), correction=0)
    assert torch.allclose(norm.running_sd, 0.9 + 0.1 * deviation, atol=1e-4)


def test_the_gradient_of_the_norm_is_that_of_its_formula():
    generator = torch.Generator().manual_seed(0)
    x = 2 + torch.randn(3, 2, 4, 4, generator=generator, dtype=torch.double)
    gamma = torch.randn(2, generator=generator, dtype=torch.double).requires_grad_()
    x.requires_grad_()
    assert torch.autograd.gradcheck(lambda x, g: divided_by_deviation(x, g)[0], (x, gamma))


def test_the_gradient_of_the_norm_cannot_be_derived_again():
    x = torch.rand(2, 3, 4, 4, requires_grad=True)
    output, _ = divided_by_deviation(x, torch.ones(3))
    (gradient,) = torch.autograd.grad(output.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_processes_share_the_deviation_of_a_large_mean(monkeypatch):
    class Group:
        """Another process of the same images."""

        is_available = is_initialized = staticmethod(lambda: True)
        get_world_size = staticmethod(lambda: 2)
        all_reduce = staticmethod(lambda total: total.mul_(2))

    x = 1000 + torch.randn(8, 3, 16, 16)
    expected = x.double().std(dim=(0, 2, 3), correction=0).float()
    monkeypatch.setattr("gahb.networks.dist", Group)
    torch.testing.assert_close(
        divided_by_deviation(x, torch.ones(3))[1], expected, rtol=1e-3, atol=0
    )


def test_training_and_evaluation_agree_when_the_deviations_do():
    network = UNet(1, 8).train()
    y = torch.randn(16, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for _ in range(200):
            training = network(y)
        assert torch.allclose(network.eval()(y), training, atol=1e-3)


@pytest.mark.parametrize("network", [UNet(2, 8), BFCNN(4, 8)])
@pytest.mark.parametrize("training", [True, False])
def test_no_tensor_is_made_on_another_device(network, training):
    network = copy.deepcopy(network).to("meta").train(training)
    assert network(torch.empty(2, 1, 16, 16, device="meta")).device.type == "meta"


def test_reduced_precision_gives_nearly_the_same_gradients():
    y = torch.randn(16, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    gradients = []
    for reduced in (False, True):
        torch.manual_seed(0)
        network = UNet(1, 8).train()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=reduced):
            output = network(y)
        assert output.dtype == (torch.bfloat16 if reduced else torch.float32)
        output.float().square().mean().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in network.parameters()]))
        assert network.middle[0].norm.running_sd.dtype == torch.float32
    single, reduced = gradients
    assert (single - reduced).norm() < 0.05 * single.norm()


def released_unet(network):
    """State of ``network`` under the keys and shapes of the released code, as its wrapper saves."""
    renamed = {}
    for key, value in network.state_dict().items():
        parts = key.split(".")
        kind = {"gamma": "gammas"}.get(parts[-1], parts[-1])
        if parts[0] == "upsample":
            name = key
        elif parts[0] == "middle":
            position = 3 * int(parts[1]) + ("norm" in key)
            name = f"mid_block.{position}.{kind}"
        else:
            block, index = parts[1], int(parts[2])
            if key.startswith("encoder.0."):
                position = {0: 0, 2: 2}[index] + ("norm" in key)
            else:
                position = 3 * index + ("norm" in key)
            name = f"{parts[0]}.{block}.{position}.{kind}"
        renamed[f"module.{name}"] = value.view(1, -1, 1, 1) if "norm" in key else value
    return renamed


def evaluate_released_unet(state, y):
    """The released UNet, layer by layer as its listing reads, on a state with its keys."""
    state = {k.removeprefix("module."): v for k, v in state.items()}

    def block(path, x):
        positions = sorted({int(k.split(".")[-2]) for k in state if k.startswith(path + ".")})
        for i in positions:
            if f"{path}.{i}.weight" in state:
                x = F.conv2d(x, state[f"{path}.{i}.weight"], padding=1)
                last_of_all = path == "decoder.0" and i == positions[-1]
                if f"{path}.{i + 1}.gammas" not in state and not last_of_all:
                    x = F.relu(x)
            else:
                x = F.relu(x / state[f"{path}.{i}.running_sd"] * state[f"{path}.{i}.gammas"])
        return x

    blocks = 1 + max(int(k.split(".")[1]) for k in state if k.startswith("encoder"))
    skipped, x = [], y
    for b in range(blocks):
        skipped.append(block(f"encoder.{b}", x))
        x = F.avg_pool2d(skipped[-1], 2)
    x = block("mid_block", x)
    for b in reversed(range(blocks)):
        x = F.conv_transpose2d(x, state[f"upsample.{b}.weight"], stride=2)
        x = block(f"decoder.{b}", torch.cat([x, skipped[b]], 1))
    return x


@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_released_unet_gives_equal_outputs(blocks, tmp_path):
    network = randomize(UNet(blocks, 4))
    state = released_unet(network)
    assert "module.encoder.0.0.weight" in state
    y = torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    loaded = from_released(state)
    assert loaded.blocks == blocks
    assert torch.allclose(loaded(y), evaluate_released_unet(state, y), atol=1e-5)
    torch.save(state, tmp_path / "model.pt")
    assert torch.equal(from_released(tmp_path / "model.pt")(y), loaded(y))


@pytest.mark.parametrize("linear", [True, False])
def test_released_bfcnn_gives_equal_outputs(linear):
    network = randomize(BFCNN(layers=5, width=4))
    state = {
        "conv_layers.0.weight": network.first.weight,
        "conv_layers.4.weight": network.last.weight,
    }
    for i, layer in enumerate(network.hidden):
        state[f"conv_layers.{i + 1}.weight"] = layer.conv.weight
        state[f"BN_layers.{i}.gammas"] = layer.norm.gamma.view(1, -1, 1, 1)
        state[f"BN_layers.{i}.running_sd"] = layer.norm.running_sd.view(1, -1, 1, 1)
    y = torch.randn(2, 1, 12, 12)
    x = F.conv2d(y, state["conv_layers.0.weight"], padding=1)
    x = x if linear else F.relu(x)
    for i in range(3):
        x = F.conv2d(x, state[f"conv_layers.{i + 1}.weight"], padding=1)
        x = F.relu(x / state[f"BN_layers.{i}.running_sd"] * state[f"BN_layers.{i}.gammas"])
    x = F.conv2d(x, state["conv_layers.4.weight"], padding=1)
    loaded = from_released(state, first_layer_linear=linear)
    assert torch.allclose(loaded(y), x, atol=1e-5)


def test_released_refuses_what_it_does_not_know(tmp_path):
    state = released_unet(UNet(1, 4))
    with pytest.raises(ValueError, match=r"released: keys .* accepted"):
        from_released({"a": torch.ones(1)})
    with pytest.raises(ValueError, match=r"released: the key encoder\.9x is not one"):
        from_released({**state, "encoder.9x": torch.ones(1)})
    with pytest.raises(ValueError, match="missing or unexpected"):
        from_released({k: v for k, v in state.items() if "mid_block.1.gammas" not in k})
    with pytest.raises(FileNotFoundError, match="released: there is no file"):
        from_released(tmp_path / "none.pt")


class Evil:
    def __reduce__(self):
        return (print, ("code was run",))


def test_released_refuses_pickled_code(tmp_path, capsys):
    torch.save({"encoder.0.0.weight": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(ValueError, match=r"released: evil\.pt is not a plain state dictionary"):
        from_released(tmp_path / "evil.pt")
    assert "code was run" not in capsys.readouterr().out


def test_bad_images_are_refused_in_one_line():
    f = gahb.Denoiser(UNet(2, 4))
    with pytest.raises(ValueError, match=r"y: sides 18 x 16 are not multiples of 4"):
        f(torch.rand(1, 1, 18, 16))
    with pytest.raises(ValueError, match="y: 3 channels where 1 are accepted"):
        f(torch.rand(1, 3, 16, 16))
    with pytest.raises(ValueError, match=r"y: shape \(16, 16\) is not a float tensor"):
        f(torch.rand(16, 16))
    with pytest.raises(TypeError, match=r"y: dtype torch\.uint8 is not a float"):
        f(torch.zeros(1, 1, 16, 16, dtype=torch.uint8))
    with pytest.raises(ValueError, match="blocks: 0 is not a whole number of at least 1"):
        UNet(0)


def test_score_and_residual():
    f = gahb.Denoiser(randomize(UNet(1, 4)))
    y = torch.rand(2, 1, 8, 8)
    assert torch.allclose(f.residual(y), y - f(y), atol=1e-6)
    assert torch.allclose(f.score(y, 0.5), (f(y) - y) / 0.25, atol=1e-5)
    with pytest.raises(ValueError, match="sigma: 0 is not a finite number"):
        f.score(y, 0)


def test_a_denoiser_stays_in_evaluation():
    f = gahb.Denoiser(UNet(1, 4))
    f.train()
    assert not any(module.training for module in f.modules())


@pytest.mark.parametrize(("blocks", "printed"), [(1, 18), (2, 44), (3, 92), (4, 188)])
def test_the_receptive_fields_are_those_of_table_1(blocks, printed):
    smallest, largest = receptive_field(UNet(blocks, width=1))
    assert smallest == printed
    assert smallest <= largest <= smallest + 2 ** (blocks + 1)


def test_the_receptive_field_is_what_a_change_of_the_input_reaches():
    torch.manual_seed(0)
    network = randomize(UNet(2, 4)).double()
    _, largest = receptive_field(network, side=96)
    y = torch.rand(1, 1, 96, 96).double()
    reaching = []
    for row in range(96):
        changed = y.clone()
        changed[0, 0, row] += 0.1
        with torch.no_grad():
            moved = (network(changed) - network(y))[0, 0].abs().amax(1) > 1e-12
        reaching.append(moved)
    by_pixel = torch.stack(reaching).sum(0)[40:56]
    assert by_pixel.max() <= largest
    assert by_pixel.max() >= largest - 4


def test_a_bfcnn_sees_two_pixels_more_with_every_layer():
    assert receptive_field(BFCNN(layers=21, width=1), side=64) == (43, 43)


def test_measuring_the_receptive_field_leaves_the_network_as_it_is():
    network = BFCNN(3, 4).train()
    before = copy.deepcopy(network.state_dict())
    receptive_field(network, side=16, positions=2)
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"side": 40}, "side: 40 is not larger than the receptive field"),
        ({"side": 0}, "side: 0 is not a whole number of at least 1"),
        ({"positions": 0}, "positions: 0 is not a whole number from 1 to 256"),
    ],
)
def test_bad_receptive_fields_are_named(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        receptive_field(UNet(2, width=1), **arguments)
