"""Costs of trainings: operations counted against formulas, memory, hours, and the table."""

import pytest
import torch
from torch import nn

from gahb.__main__ import main
from gahb.book import recipes
from gahb.book.costs import PROCESSORS, Cost, cost, overview, plan


def products_and_sums(network, size):
    """Operations of all convolutions of one forward pass on one image, by what they put out."""
    total = []

    def count(layer, inputs, output):
        if isinstance(layer, nn.ConvTranspose2d):  # every input pixel meets the whole kernel
            total.append(2 * inputs[0][0, 0].numel() * layer.weight.numel())
        elif isinstance(layer, nn.Conv2d):
            total.append(2 * output[0, 0].numel() * layer.weight.numel())

    for layer in network.modules():
        layer.register_forward_hook(count)
    network(torch.rand(1, 1, size, size))
    return sum(total), total[0]


@pytest.mark.parametrize("name", ["faces-unet-n100-s1", "faces-bfcnn-n100-s1"])
def test_operations_are_those_of_the_convolutions(name):
    recipe = recipes.get(name, "laptop")
    forward, first = products_and_sums(recipe.build(), recipe.size)
    # The backward pass costs twice as much, but for the gradient of the image, which none needs.
    assert cost(recipe).flops == recipe.batch * (3 * forward - first)


def test_memory_is_what_the_backward_pass_needs():
    recipe = recipes.get("faces-bfcnn-n100-s1", "laptop")
    layer = 4 * recipe.batch * recipe.width * recipe.size**2
    weights = 4 * sum(p.numel() for p in recipe.build().parameters())
    # Of each hidden layer the convolution's output and, rectified, the next one's input.
    expected = (2 * (recipe.depth - 2) + 1) * layer + 4 * weights
    assert cost(recipe).memory == pytest.approx(expected, rel=0.02)
    assert cost(recipe.but(batch=64)).memory > 1.9 * cost(recipe).memory


def test_color_costs_more_in_the_first_layer_and_the_last():
    gray = recipes.get("faces-bfcnn-n100-s1", "laptop").but(images="folder")
    color = gray.but(channels=3)
    # Forward and for the weights in both layers, and for the image of the last one.
    layer = 2 * 3**2 * gray.width * gray.size**2
    assert cost(color).flops - cost(gray).flops == gray.batch * 2 * (2 + 3) * layer


def test_hours_are_operations_over_speed():
    hour_on_one = 3600 * PROCESSORS[0].teraflops * 1e12
    whole = Cost("a", updates=10, flops=int(hour_on_one), memory=0)
    assert whole.hours(PROCESSORS[0], utilization=1) == pytest.approx(10)
    assert whole.hours(PROCESSORS[0], utilization=0.25) == pytest.approx(40)
    with pytest.raises(ValueError, match=r"^utilization: 1.5 is not a finite number in \[0.001, 1"):
        whole.hours(PROCESSORS[0], utilization=1.5)


def test_the_table_sums_and_marks_what_does_not_fit():
    found = recipes.find("faces-unet-n1000-s1-*px", "paper")
    lines = plan(found, utilization=0.5).splitlines()
    body = lines[1 : 1 + len(found)]
    assert [line.split()[0] for line in body] == [recipe.name for recipe in found]
    for column in (-4, -1):
        hours = [float(line.split()[column].replace(",", "").rstrip("*")) for line in body]
        total = float(lines[1 + len(found)].split()[column].replace(",", "").rstrip("*"))
        assert total == pytest.approx(sum(hours), rel=0.02)
    largest = lines[len(found)].split()
    assert largest[-2].endswith("*"), "160 pixels a side do not fit into 40 GB"
    assert not largest[-1].endswith("*")
    assert "Computed, not measured: 50% of the peak speeds" in lines[-3]


def test_the_overview_sums_each_group():
    trainings = recipes.find("calpha?-unet-*", "paper")
    lines = overview({"Figure 4": trainings[:1], "all": trainings}).splitlines()
    one, several = (float(line.split()[-4].replace(",", "")) for line in lines[1:3])
    assert several == pytest.approx(len(trainings) * one, rel=2e-3)
    assert lines[2].split()[1] == str(len(trainings))


@pytest.mark.parametrize("edition", ["smoke", "paper"])
def test_the_command_prints_the_plan_of_an_edition(edition, capsys):
    assert main(["plan", edition]) == 0
    printed = capsys.readouterr().out
    assert all(f"\n{name} " in printed for name in recipes.every(edition))
    assert main(["plan", edition, "nothing*"]) == 2
    assert capsys.readouterr().err.startswith("gahb: pattern: 'nothing*' matches no recipe")
