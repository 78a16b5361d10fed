"""The detector's loss and its gradient by PyTorch, for the test of loss.rs.

    pip install torch && python loss.py > loss.json

Two grids of six locations, three classes, two sections and two images; the numbers are sines, so that the test makes the
same ones.
"""

import json
import math

import torch
from torch.nn import functional

CLASSES, STRIDES = 3, (8, 16)
# By grid and location: class and distances to the left, top, right and bottom side.
TARGETS = [
    {1: (0, [6.0, 9.0, 10.0, 5.0]), 4: (2, [12.5, 3.0, 4.0, 20.0])},
    {0: (1, [30.0, 41.0, 22.0, 18.0])},
]
IMAGES = [(1.0, 1), (0.0, None)]


def numbers(count, phase):
    return torch.tensor([2.0 * math.sin(0.7 * place + phase) for place in range(count)], dtype=torch.float64, requires_grad=True)


grids = [numbers(6 * (CLASSES + 5), 0.3 * grid) for grid in range(2)]
image = numbers(2 * 3, 0.9)

positives = sum(len(targets) for targets in TARGETS)
ratio = lambda a, b: min(a, b) / max(a, b)
centred = lambda sides: math.sqrt(ratio(sides[0], sides[2]) * ratio(sides[1], sides[3]))
weight = sum(centred(sides) for targets in TARGETS for _, sides in targets.values())
parts = {"classes": 0.0, "boxes": 0.0, "centreness": 0.0}
for stride, outputs, targets in zip(STRIDES, grids, TARGETS):
    for location, values in enumerate(outputs.view(6, CLASSES + 5)):
        truth = torch.zeros(CLASSES, dtype=torch.float64)
        if location in targets:
            truth[targets[location][0]] = 1.0
        probability = values[:CLASSES].sigmoid()
        right = torch.where(truth > 0, probability, 1 - probability)
        crossed = functional.binary_cross_entropy_with_logits(values[:CLASSES], truth, reduction="none")
        parts["classes"] += (torch.where(truth > 0, 0.25, 0.75) * (1 - right) ** 2 * crossed).sum() / positives
        if location not in targets:
            continue
        sides = targets[location][1]
        wanted, found = torch.tensor(sides, dtype=torch.float64), values[CLASSES : CLASSES + 4].exp() * stride
        crossed = functional.binary_cross_entropy_with_logits(values[CLASSES + 4], torch.tensor(centred(sides), dtype=torch.float64))
        parts["centreness"] += crossed / positives
        area = lambda one: (one[0] + one[2]) * (one[1] + one[3])
        shared, hull = area(torch.minimum(found, wanted)), area(torch.maximum(found, wanted))
        union = area(found) + area(wanted) - shared
        parts["boxes"] += (1 - shared / union + (hull - union) / hull) * centred(sides) / weight
logits = image.view(2, 3)
of_images = sum(functional.binary_cross_entropy_with_logits(one[0], torch.tensor(kind, dtype=torch.float64)) for one, (kind, _) in zip(logits, IMAGES)) / 2
known = [(one, section) for one, (_, section) in zip(logits, IMAGES) if section is not None]
of_images = of_images + sum(functional.cross_entropy(one[1:], torch.tensor(section)) for one, section in known) / len(known)
total = sum(parts.values()) + 0.5 * of_images
total.backward()
print(json.dumps({
    "parts": {name: float(value) for name, value in parts.items()},
    "image": float(0.5 * of_images),
    "gradients": [[round(float(value), 9) for value in grid.grad] for grid in grids],
    "image_gradient": [round(float(value), 9) for value in image.grad],
}, separators=(",", ":")))
