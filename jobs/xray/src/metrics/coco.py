"""Random boxes and their figures by pycocotools, for the test of average_precision.rs.

    pip install pycocotools==2.0.11 numpy && python coco.py > coco.json

Coordinates are multiples of 1/4 and scores of 1/64, so that they are the same numbers in 32 and 64 bits; equal scores are
frequent, so that ties are tested.
"""

import contextlib
import io
import json

import numpy
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

random = numpy.random.default_rng(20)
IMAGES, CLASSES, EXTENT = 60, 4, 400


def box(longest):
    width, height = (float(random.integers(8, longest * 4)) / 4 for _ in range(2))
    left, top = (float(random.integers(0, int((EXTENT - side) * 4))) / 4 for side in (width, height))
    return [left, top, width, height]


def near(rectangle):
    left, top, width, height = rectangle
    moved = random.normal(0, 0.12, 4) * [width, height, width, height]
    left, top, width, height = (float(numpy.round((a + b) * 4) / 4) for a, b in zip(rectangle, moved))
    return [max(left, 0.0), max(top, 0.0), max(width, 1.0), max(height, 1.0)]


def score():
    return float(random.integers(1, 64)) / 64


images, truth, found = [], [], []
for image in range(IMAGES):
    images.append({"id": image, "width": EXTENT, "height": EXTENT})
    for _ in range(random.integers(0, 6)):
        kind, longest = int(random.integers(CLASSES)), [30, 90, 250][random.integers(3)]
        rectangle, crowd = box(longest), int(random.random() < 0.12)
        truth.append({"id": len(truth) + 1, "image_id": image, "category_id": kind, "bbox": rectangle,
                      "area": rectangle[2] * rectangle[3], "iscrowd": crowd})
        for _ in range(random.integers(0, 3)):
            wrong = random.random() < 0.15
            found.append({"image_id": image, "category_id": int(random.integers(CLASSES)) if wrong else kind,
                          "bbox": near(rectangle), "score": score()})
    for _ in range(random.integers(0, 4)):
        found.append({"image_id": image, "category_id": int(random.integers(CLASSES)), "bbox": box(150), "score": score()})

with contextlib.redirect_stdout(io.StringIO()):
    coco = COCO()
    coco.dataset = {"images": images, "annotations": truth, "categories": [{"id": kind, "name": str(kind)} for kind in range(CLASSES)]}
    coco.createIndex()
    evaluation = COCOeval(coco, coco.loadRes(found), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()

# Overlap × recall × class × size × limit.
precision = evaluation.eval["precision"]
figures = {}
for place, size in enumerate(["all", "small", "medium", "large"]):
    for kind in range(CLASSES):
        values = precision[:, :, kind, place, 2]
        known = values[values > -1]
        figures[f"{size} {kind}"] = {
            "ap": float(known.mean()) if known.size else None,
            "ap50": float(values[0].mean()) if known.size else None,
            "ap75": float(values[5].mean()) if known.size else None,
        }

short = {
    "truth": [[one["image_id"], one["category_id"], *one["bbox"], one["iscrowd"]] for one in truth],
    "found": [[one["image_id"], one["category_id"], *one["bbox"], one["score"]] for one in found],
    "figures": figures,
}
print(json.dumps(short, separators=(",", ":")))
