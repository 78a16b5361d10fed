"""The same detector in PyTorch, trained and evaluated on the real images of docs/benchmarks.md (X-ray images).

    pip install torch pycocotools numpy pillow
    python peers.py prepare DATASET split.csv OUT     # images, VOC annotations, metadata.csv and mapping.toml for `ingest images`
    python peers.py train OUT --seeds 1,2,3 --epochs 40
    python peers.py files FOLDER                       # 20,000 PNG and JPEG files, for the bench of the ingest
    python peers.py speed                              # a step and inference; `cargo bench --bench xray` starts it

The months of OUT are the parts: January trains, February chooses the epoch, March tests, April is the other detector.
Network, losses, optimiser, schedule, average of weights and augmentation are those of jobs/xray/src/{model,fit}; one worker.
DATASET is the folder `dataset` of the repository that the data's README names; images are never part of this repository.
"""

import argparse
import csv
import json
import math
import os
import shutil
import time
import xml.etree.ElementTree

import numpy

GROUPS_OF_VALIDATION = 6


def prepare(arguments):
    rows = list(csv.DictReader(open(arguments.split)))
    groups = sorted({int(row["group"]) for row in rows if row["split"] == "train"})
    validation = {group for place, group in enumerate(groups) if place % GROUPS_OF_VALIDATION == GROUPS_OF_VALIDATION - 1}
    months = {"train": 1, "valid": 2, "test": 3, "test_other_detector": 4}
    for folder in ("images", "labels"):
        os.makedirs(f"{arguments.out}/{folder}", exist_ok=True)
    with open(f"{arguments.out}/metadata.csv", "w") as table:
        table.write("file,time\n")
        for row in rows:
            part, name = row["split"], row["name"]
            if part == "train" and int(row["group"]) in validation:
                part = "valid"
            shutil.copy(f"{arguments.dataset}/JPEGImages/{name}.png", f"{arguments.out}/images/")
            shutil.copy(f"{arguments.dataset}/Annotations/{name}.xml", f"{arguments.out}/labels/")
            table.write(f"{name}.png,2024-{months[part]:02}-01T00:00:00Z\n")
    with open(f"{arguments.out}/mapping.toml", "w") as mapping:
        mapping.write('table = "images"\ncountry = "CL"\nmetadata = "metadata.csv"\n[columns]\nfile = "file"\ntaken_at = "time"\n')


def files(arguments):
    """Grey and coloured pictures of bags' extents, half of them PNG and half JPEG: noise that is smooth and things in it."""
    from PIL import Image, ImageDraw, ImageFilter

    random = numpy.random.default_rng(1)
    os.makedirs(arguments.out, exist_ok=True)
    for number in range(arguments.count):
        width, height = int(random.integers(288, 384)), int(random.integers(208, 288))
        mode = "RGB" if number % 4 < 2 else "L"
        noise = random.integers(200, 256, (height, width) if mode == "L" else (height, width, 3), numpy.uint8)
        image = Image.fromarray(noise, mode).filter(ImageFilter.BoxBlur(1))
        draw = ImageDraw.Draw(image)
        for _ in range(12):
            left, top = int(random.integers(0, width)), int(random.integers(0, height))
            shade = tuple(int(value) for value in random.integers(20, 200, 3)) if mode == "RGB" else int(random.integers(20, 200))
            draw.ellipse([left, top, left + int(random.integers(8, 80)), top + int(random.integers(8, 80))], fill=shade)
        name = f"{arguments.out}/{number:06}"
        image.save(f"{name}.png", compress_level=6) if number % 2 else image.save(f"{name}.jpg", quality=90)


def load(folder, side):
    """Parts of (pixels, boxes left-top-right-bottom, classes, factor), shrunk by the mean of areas and padded with white."""
    from PIL import Image

    parts, classes = {1: [], 2: [], 3: [], 4: []}, set()
    for row in csv.DictReader(open(f"{folder}/metadata.csv")):
        name = row["file"].removesuffix(".png")
        image = Image.open(f"{folder}/images/{name}.png").convert("L")
        factor = side / max(image.size)
        extent = [max(1, round(length * factor)) for length in image.size]
        pixels = numpy.ones((side, side), numpy.float32)
        shrunk = numpy.asarray(image.resize(extent, Image.BOX if factor < 1 else Image.BILINEAR), numpy.float32) / 255
        pixels[: extent[1], : extent[0]] = shrunk
        boxes, names = [], []
        for entry in xml.etree.ElementTree.parse(f"{folder}/labels/{name}.xml").iter("object"):
            place = entry.find("bndbox")
            left, top, right, bottom = (float(place.find(key).text) for key in ("xmin", "ymin", "xmax", "ymax"))
            boxes.append([left * factor, top * factor, right * factor, bottom * factor])
            names.append(entry.find("name").text)
        classes.update(names)
        parts[int(row["time"][5:7])].append((pixels, numpy.array(boxes, numpy.float32).reshape(-1, 4), names))
    return parts, sorted(classes)


def augment(example, others, side, random):
    pixels, boxes, labels = example[0], example[1].copy(), list(example[2])
    if random.random() < 0.3:
        donor = others[random.integers(len(others))]
        if len(donor[1]):
            chosen = random.integers(len(donor[1]))
            left, top, right, bottom = (int(value) for value in numpy.clip(donor[1][chosen], 0, side))
            width, height = right - left, bottom - top
            if width >= 4 and height >= 4:
                x, y = random.integers(side - width + 1), random.integers(side - height + 1)
                patch = donor[0][top:bottom, left:right]
                pixels = pixels.copy()
                pixels[y : y + height, x : x + width] *= patch / max(patch.max(), 1e-5)
                boxes = numpy.concatenate([boxes, [[x, y, x + width, y + height]]]).astype(numpy.float32)
                labels.append(donor[2][chosen])
    factor = math.exp(math.log(0.7) + random.random() * math.log(1.4 / 0.7))
    slack = side - side * factor
    x, y = slack * random.random(), slack * random.random()
    grid = [(numpy.arange(side) + 0.5 - shift) / factor - 0.5 for shift in (y, x)]
    inside = [(-0.5 < axis) & (axis < side - 0.5) for axis in grid]
    rows, columns = (numpy.clip(axis, 0, side - 1) for axis in grid)
    top, left = rows.astype(int), columns.astype(int)
    bottom, right = numpy.minimum(top + 1, side - 1), numpy.minimum(left + 1, side - 1)
    down, across = (rows - top)[:, None], (columns - left)[None]
    zoomed = (pixels[top][:, left] * (1 - across) + pixels[top][:, right] * across) * (1 - down)
    zoomed += (pixels[bottom][:, left] * (1 - across) + pixels[bottom][:, right] * across) * down
    pixels = numpy.where(inside[0][:, None] & inside[1][None], zoomed, 1).astype(numpy.float32)
    whole = boxes * factor + [x, y, x, y]
    boxes = numpy.clip(whole, 0, side)
    area = lambda all: (all[:, 2] - all[:, 0]) * (all[:, 3] - all[:, 1])
    left_over = (area(boxes) >= 0.4 * area(whole)) & (area(boxes) > 4)
    boxes, labels = boxes[left_over], [label for label, keep in zip(labels, left_over) if keep]
    way = random.integers(8)
    if way & 1:
        pixels, boxes = pixels[:, ::-1], numpy.stack([side - boxes[:, 2], boxes[:, 1], side - boxes[:, 0], boxes[:, 3]], 1)
    if way & 2:
        pixels, boxes = pixels[::-1], numpy.stack([boxes[:, 0], side - boxes[:, 3], boxes[:, 2], side - boxes[:, 1]], 1)
    if way & 4:
        pixels, boxes = pixels.T, boxes[:, [1, 0, 3, 2]]
    return numpy.ascontiguousarray(pixels), boxes, labels


def detector(side, classes, width=16):
    """The network's class, the loss of a batch's outputs, a batch as a tensor, and mAP of a network on examples."""
    import torch
    from torch import nn
    from torch.nn import functional

    strides, farthest = (8, 16, 32), (64.0, 128.0, math.inf)
    number = {name: place for place, name in enumerate(classes)}
    count = len(classes)

    def block(inputs, outputs, stride=1):
        layers = nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1), nn.GroupNorm(outputs // 8, outputs), nn.ReLU())
        nn.init.normal_(layers[0].weight, 0, math.sqrt(2 / (9 * inputs)))
        nn.init.zeros_(layers[0].bias)
        return layers

    def plain(inputs, outputs, kernel, deviation, bias=0.0):
        layer = nn.Conv2d(inputs, outputs, kernel, 1, kernel // 2)
        nn.init.normal_(layer.weight, 0, deviation)
        nn.init.constant_(layer.bias, bias)
        return layer

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            widths = [width, 2 * width, 4 * width, 8 * width, 8 * width]
            pyramid = 4 * width
            self.stem = block(3, width, 2)
            self.down = nn.ModuleList(block(a, b, 2) for a, b in zip(widths, widths[1:]))
            self.more = nn.ModuleList(nn.Sequential(block(b, b), block(b, b)) for b in widths[1:])
            self.lateral = nn.ModuleList(plain(b, pyramid, 1, math.sqrt(2 / b)) for b in widths[2:])
            self.smooth = nn.ModuleList(block(pyramid, pyramid) for _ in strides)
            self.tower = nn.Sequential(block(pyramid, pyramid), block(pyramid, pyramid))
            self.classes, self.sides = plain(pyramid, count, 3, 0.01, -4.595), plain(pyramid, 5, 3, 0.01)
            self.image = nn.Linear(2 * widths[4], 1)
            nn.init.normal_(self.image.weight, 0, 0.01)
            nn.init.zeros_(self.image.bias)

        def forward(self, values):
            values, scales = self.stem(values), []
            for down, more in zip(self.down, self.more):
                values = down(values)
                values = values + more(values)
                scales.append(values)
            whole = self.image(torch.cat([values.mean((2, 3)), values.amax((2, 3))], 1))
            above, grids = None, [None] * 3
            for place in (2, 1, 0):
                values = self.lateral[place](scales[place + 1])
                above = values if above is None else values + functional.interpolate(above, scale_factor=2)
                tower = self.tower(self.smooth[place](above))
                grids[place] = torch.cat([self.classes(tower), self.sides(tower)], 1).permute(0, 2, 3, 1).flatten(1, 2)
            return grids, whole

    def targets(boxes, labels):
        order = numpy.argsort((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), kind="stable")[::-1]
        all = []
        for level, stride in enumerate(strides):
            cells = side // stride
            middle = (numpy.arange(cells) + 0.5) * stride
            x, y = numpy.tile(middle, cells), numpy.repeat(middle, cells)
            kind, sides = numpy.full(cells * cells, -1), numpy.zeros((cells * cells, 4), numpy.float32)
            nearest = farthest[level - 1] if level else 0.0
            for place in order:
                left, top, right, bottom = boxes[place]
                distance = numpy.stack([x - left, y - top, right - x, bottom - y], 1)
                central = (abs(x - (left + right) / 2) <= 1.5 * stride) & (abs(y - (top + bottom) / 2) <= 1.5 * stride)
                longest = distance.max(1)
                own = (distance.min(1) > 0) & central & (longest > nearest) & (longest <= farthest[level])
                kind[own], sides[own] = number[labels[place]], distance[own]
            all.append((kind, sides))
        return all

    def loss_of(outputs, batch):
        grids, whole = outputs
        wanted = [targets(boxes, labels) for _, boxes, labels in batch]
        values = torch.cat(grids, 1)
        kind = torch.from_numpy(numpy.stack([numpy.concatenate([part[0] for part in one]) for one in wanted]))
        sides = torch.from_numpy(numpy.stack([numpy.concatenate([part[1] for part in one]) for one in wanted]))
        stride = torch.cat([torch.full((grid.shape[1],), float(step)) for grid, step in zip(grids, strides)])
        positive = kind >= 0
        positives = positive.sum().clamp(min=1)
        truth = torch.zeros_like(values[..., :count])
        truth[positive] = functional.one_hot(kind[positive], count).float()
        logits = values[..., :count]
        probability = logits.sigmoid()
        right = torch.where(truth > 0, probability, 1 - probability)
        weight = torch.where(truth > 0, 0.25, 0.75)
        crossed = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
        total = (weight * (1 - right) ** 2 * crossed).sum() / positives
        illicit = torch.tensor([[float(len(boxes) > 0)] for _, boxes, _ in batch])
        total = total + 0.5 * functional.binary_cross_entropy_with_logits(whole, illicit)
        if positive.any():
            wanted = sides[positive]
            ratio = lambda a, b: torch.minimum(a, b) / torch.maximum(a, b)
            centred = (ratio(wanted[:, 0], wanted[:, 2]) * ratio(wanted[:, 1], wanted[:, 3])).sqrt()
            total = total + functional.binary_cross_entropy_with_logits(values[positive][:, count + 4], centred, reduction="sum") / positives
            steps = stride.expand(len(batch), -1)[positive][:, None]
            found = values[positive][:, count : count + 4].clamp(max=6).exp() * steps
            area = lambda all: (all[:, 0] + all[:, 2]) * (all[:, 1] + all[:, 3])
            least, most = torch.minimum(found, wanted), torch.maximum(found, wanted)
            shared, hull = area(least), area(most)
            union = area(found) + area(wanted) - shared
            box = 1 - shared / union + (hull - union) / hull
            total = total + (box * centred).sum() / centred.sum().clamp(min=1e-6)
        return total

    def tensor(batch):
        pixels = torch.from_numpy(numpy.stack([example[0] for example in batch]))[:, None].expand(-1, 3, -1, -1)
        return pixels.contiguous(memory_format=torch.channels_last)

    def detections(network, examples):
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
        import contextlib
        import io

        truth, found = [], []
        with torch.no_grad():
            for image, example in enumerate(examples):
                for box, label in zip(example[1], example[2]):
                    left, top, right, bottom = (float(value) for value in box)
                    truth.append({"id": len(truth) + 1, "image_id": image, "category_id": number[label], "iscrowd": 0,
                                  "bbox": [left, top, right - left, bottom - top], "area": (right - left) * (bottom - top)})
                candidates = []
                for grid, stride in zip(network(tensor([example]))[0], strides):
                    cells, values = side // stride, grid[0].numpy()
                    x, y = numpy.tile((numpy.arange(cells) + 0.5) * stride, cells), numpy.repeat((numpy.arange(cells) + 0.5) * stride, cells)
                    sigmoid = lambda logits: 1 / (1 + numpy.exp(-logits))
                    scores = numpy.sqrt(sigmoid(values[:, :count]) * sigmoid(values[:, count + 4 :]))
                    sides = numpy.exp(numpy.minimum(values[:, count : count + 4], 6)) * stride
                    for place, kind in zip(*numpy.nonzero(scores >= 0.02)):
                        a, b, c, d = sides[place]
                        box = numpy.clip([x[place] - a, y[place] - b, x[place] + c, y[place] + d], 0, side)
                        candidates.append((float(scores[place, kind]), int(kind), box))
                candidates.sort(key=lambda one: -one[0])
                kept = []
                for score, kind, box in candidates[:400]:
                    def overlap(other):
                        across = min(box[2], other[2]) - max(box[0], other[0])
                        down = min(box[3], other[3]) - max(box[1], other[1])
                        shared = max(across, 0) * max(down, 0)
                        union = (box[2] - box[0]) * (box[3] - box[1]) + (other[2] - other[0]) * (other[3] - other[1]) - shared
                        return shared / union if union > 0 else 0
                    if len(kept) < 50 and not any(kind == other[1] and overlap(other[2]) > 0.5 for other in kept):
                        kept.append((score, kind, box))
                found += [{"image_id": image, "category_id": kind, "score": score,
                           "bbox": [float(box[0]), float(box[1]), float(box[2] - box[0]), float(box[3] - box[1])]} for score, kind, box in kept]
        with contextlib.redirect_stdout(io.StringIO()):
            coco = COCO()
            coco.dataset = {"images": [{"id": image} for image in range(len(examples))], "annotations": truth,
                            "categories": [{"id": kind} for kind in range(count)]}
            coco.createIndex()
            evaluation = COCOeval(coco, coco.loadRes(found), "bbox")
            evaluation.evaluate()
            evaluation.accumulate()
        precision = evaluation.eval["precision"][:, :, :, 0, 2]
        known = lambda values: values[values > -1].mean()
        return known(precision[0]), known(precision)

    return Network, loss_of, tensor, detections


def optimiser_of(network):
    import torch

    decayed = [weights for weights in network.parameters() if weights.dim() > 1]
    others = [weights for weights in network.parameters() if weights.dim() == 1]
    return torch.optim.AdamW([{"params": decayed, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}], lr=2e-3)


def speed(arguments):
    """Seconds of a training step without augmentation, and of inference without suppression, as JSON."""
    import torch

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(1)
    random = numpy.random.default_rng(1)
    side, batch_images, names = arguments.side, 8, [str(number) for number in range(arguments.classes)]
    Network, loss_of, tensor, _ = detector(side, names)
    network = Network().to(memory_format=torch.channels_last)
    optimiser = optimiser_of(network)

    def example(number):
        pixels = random.random((side, side), numpy.float32)
        box = numpy.array([[40, 40, 80, 80]], numpy.float32) + number % 8 * 16
        return pixels, box, [names[number % len(names)]]

    batch = [example(number) for number in range(batch_images)]

    def step():
        optimiser.zero_grad()
        loss_of(network(tensor(batch)), batch).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        optimiser.step()

    def inference():
        with torch.no_grad():
            network(tensor(batch))

    def median(work):
        work()
        seconds = []
        for _ in range(arguments.repeats):
            begun = time.monotonic()
            work()
            seconds.append(time.monotonic() - begun)
        return sorted(seconds)[len(seconds) // 2]

    print(json.dumps({"step": median(step), "inference": median(inference), "torch": torch.__version__}))


def train(arguments):
    import torch
    from torch import nn

    torch.set_num_threads(arguments.threads)
    side = arguments.side
    parts, classes = load(arguments.folder, side)
    Network, loss_of, tensor, detections = detector(side, classes)
    for seed in (int(seed) for seed in arguments.seeds.split(",")):
        torch.manual_seed(seed)
        random = numpy.random.default_rng(seed)
        network = Network().to(memory_format=torch.channels_last)
        optimiser = optimiser_of(network)
        examples, batch_images = parts[1], 8
        per_epoch = math.ceil(len(examples) / batch_images)
        steps, step = per_epoch * arguments.epochs, 0
        warm = max(1, int(steps * 0.05))
        average = {name: weights.detach().clone() for name, weights in network.state_dict().items()}
        best, kept, begun = math.inf, None, time.monotonic()
        for epoch in range(arguments.epochs):
            order = random.permutation(len(examples))
            for chosen in numpy.array_split(order, per_epoch):
                batch = [augment(examples[place], examples, side, random) for place in chosen]
                rate = (step + 1) / warm if step < warm else 0.5 * (1 + math.cos(math.pi * (step - warm) / max(steps - warm, 1)))
                for group in optimiser.param_groups:
                    group["lr"] = 2e-3 * rate
                optimiser.zero_grad()
                loss_of(network(tensor(batch)), batch).backward()
                nn.utils.clip_grad_norm_(network.parameters(), 10.0)
                optimiser.step()
                step += 1
                keep = math.exp(-1 / max(1.0, min(200.0, step / 4)))
                for name, weights in network.state_dict().items():
                    average[name].mul_(keep).add_(weights, alpha=1 - keep)
            evaluated = Network().to(memory_format=torch.channels_last)
            evaluated.load_state_dict(average)
            with torch.no_grad():
                loss = sum(float(loss_of(evaluated(tensor([one])), [one])) for one in parts[2]) / len(parts[2])
            if loss < best:
                best, kept = loss, {name: weights.clone() for name, weights in average.items()}
        seconds = time.monotonic() - begun
        evaluated.load_state_dict(kept)
        for part, name in ((3, "test"), (4, "other detector")):
            map50, map_all = detections(evaluated, parts[part])
            print(f"seed {seed} {name}: mAP@50 {map50:.4f} mAP@50:95 {map_all:.4f} ({seconds:.0f} s of training)", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("prepare")
    command.add_argument("dataset")
    command.add_argument("split")
    command.add_argument("out")
    command.set_defaults(run=prepare)
    command = commands.add_parser("files")
    command.add_argument("out")
    command.add_argument("--count", type=int, default=20000)
    command.set_defaults(run=files)
    command = commands.add_parser("train")
    command.add_argument("folder")
    command.add_argument("--seeds", default="1,2,3")
    command.add_argument("--epochs", type=int, default=40)
    command.add_argument("--side", type=int, default=320)
    command.add_argument("--threads", type=int, default=2)
    command.set_defaults(run=train)
    command = commands.add_parser("speed")
    command.add_argument("--classes", type=int, default=6)
    command.add_argument("--side", type=int, default=320)
    command.add_argument("--threads", type=int, default=2)
    command.add_argument("--repeats", type=int, default=15)
    command.set_defaults(run=speed)
    arguments = parser.parse_args()
    arguments.run(arguments)
