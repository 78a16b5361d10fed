"""The network's outputs and gradient by PyTorch, for the test of network.rs.

    pip install torch && python network.py > network.json

Two classes, two sections, width 8, one image of 64 × 32 pixels; weights and pixels are numbers that look random and that the
test makes too. The gradient is that of the sum of all outputs, each times such a number; of each part its norm and its first
value are kept.
"""

import json
import math

import torch
from torch.nn import functional

CLASSES, SECTIONS, WIDTH = 2, 2, 8
HEIGHT, ACROSS = 64, 32
parts, first = [], 0


def numbers(count, begin, factor):
    """From -factor to factor: the fractional part of a large sine."""
    large = (math.sin(12.9898 * (begin + place + 1)) * 43758.5453 for place in range(count))
    return [factor * (2 * (value - math.floor(value)) - 1) for value in large]


def part(shape, kind):
    global first
    count = math.prod(shape)
    values = numbers(count, first, math.sqrt(6 * shape[-1] / count) if kind == "kernel" else 0.1)
    first += count
    values = torch.tensor(values, dtype=torch.float64).float().double().view(shape)
    if kind == "scale":
        values = (values + 1.0).float().double()
    parts.append(values.requires_grad_())
    return parts[-1]


def plain(side, inputs, outputs):
    return part([side, side, inputs, outputs], "kernel"), part([outputs], "bias")


def normal(side, stride, inputs, outputs):
    return *plain(side, inputs, outputs), part([outputs], "scale"), part([outputs], "shift"), stride


def stage(inputs, outputs):
    return normal(3, 2, inputs, outputs), normal(3, 1, outputs, outputs), normal(3, 1, outputs, outputs)


def run_plain(layer, values):
    kernel, bias = layer
    return functional.conv2d(values, kernel.permute(3, 2, 0, 1), bias, padding=kernel.shape[0] // 2)


def run(layer, values):
    kernel, bias, scale, shift, stride = layer
    values = functional.conv2d(values, kernel.permute(3, 2, 0, 1), bias, stride=stride, padding=1)
    return functional.relu(functional.group_norm(values, values.shape[1] // 8, scale, shift, 1e-5))


widths = [WIDTH, 2 * WIDTH, 4 * WIDTH, 8 * WIDTH, 8 * WIDTH]
pyramid = 4 * WIDTH
stem = normal(3, 2, 3, WIDTH)
stages = [stage(a, b) for a, b in zip(widths, widths[1:])]
laterals = [plain(1, inputs, pyramid) for inputs in widths[2:]]
smooth = [normal(3, 1, pyramid, pyramid) for _ in range(3)]
tower = [normal(3, 1, pyramid, pyramid) for _ in range(2)]
classes, sides = plain(3, pyramid, CLASSES), plain(3, pyramid, 5)
whole = plain(1, 2 * widths[4], 1 + SECTIONS)

pixels = torch.tensor(numbers(HEIGHT * ACROSS * 3, 0, 0.5)).double() + 0.5
values = pixels.float().double().view(1, HEIGHT, ACROSS, 3).permute(0, 3, 1, 2)
values, scales = run(stem, values), []
for down, one, two in stages:
    values = run(down, values)
    values = values + run(two, run(one, values))
    scales.append(values)
pooled = torch.cat([values.mean((2, 3)), values.amax((2, 3))], 1)[:, :, None, None]
image = run_plain(whole, pooled).flatten()
above, grids = None, [None] * 3
for place in (2, 1, 0):
    lateral = run_plain(laterals[place], scales[place + 1])
    above = lateral if above is None else lateral + functional.interpolate(above, scale_factor=2)
    out = run(smooth[place], above)
    for layer in tower:
        out = run(layer, out)
    grids[place] = torch.cat([run_plain(classes, out), run_plain(sides, out)], 1).permute(0, 2, 3, 1).flatten()

total = (image * torch.tensor(numbers(len(image), 0, 1.0)).double()).sum()
for grid in grids:
    total = total + (grid * torch.tensor(numbers(len(grid), 0, 1.0)).double()).sum()
total.backward()
kept = lambda one: [float(f"{value:.8g}") for value in one]
print(json.dumps({
    "image": kept(image.tolist()),
    "grids": [kept(grid[:21].tolist()) for grid in grids],
    "norms": kept([float(one.grad.norm()) for one in parts]),
    "firsts": kept([float(one.grad.flatten()[0]) for one in parts]),
}, separators=(",", ":")))
