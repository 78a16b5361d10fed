"""How well planted misclassifications are detected, with and without the supplementary unit.

`make` writes an export of published declarations (TABLE, the tab-separated table of examples/hs.toml) and a mapping to
FOLDER. As a tariff prescribes, the unit follows from the declared heading. Of the test items a tenth gets the code of other
goods of the same chapter, with the unit of that code, and keeps its description; their identifiers are in planted.txt.
`rank` reads rows of `predictions/hs` as JSON (declaration_id, misclassification) and prints how the planted ones rank.

    python jobs/hs/src/planted.py make TABLE FOLDER
    python jobs/hs/src/planted.py rank FOLDER ROWS.json …
"""

import gzip
import hashlib
import json
import random
import sys
from pathlib import Path

UNITS = ["KGM", "NAR", "LTR", "MTR", "PAR", "MTK", "TNE", "SET"]
MONTHS = {"train": "2019-01", "valid": "2019-02", "test": "2019-03"}
SHARE = 0.1
SEED = 7
MAPPING = """country = "GH"
delimiter = "\\t"
[columns]
declaration_id = { from = "id" }
item_number = { constant = "1" }
acceptance_date = { from = "day" }
hs_code = { from = "code" }
description = { from = "text" }
quantity = { from = "quantity" }
quantity_unit = { from = "unit" }
customs_value = { from = "value" }
"""


def unit(code):
    return UNITS[hashlib.sha256(code[:4].encode()).digest()[0] % len(UNITS)]


def make(table, folder):
    rng = random.Random(SEED)
    with gzip.open(table, "rt", encoding="utf-8") as lines:
        rows = [line.rstrip("\n").split("\t") for line in lines][1:]
    known = sorted({row[1] for row in rows if row[0] == "train"})
    planted = []
    with open(folder / "export.tsv", "w", encoding="utf-8") as out:
        out.write("id\tday\tcode\ttext\tquantity\tunit\tvalue\n")
        for number, (split, code, _, _, text, *_) in enumerate(rows, 1):
            if split == "test" and code in known and rng.random() < SHARE:
                others = [other for other in known if other[:2] == code[:2] and other[:6] != code[:6]]
                if others:
                    code = rng.choice(others)
                    planted.append(str(number))
            quantity = rng.choice([1, 5, 10, 50, 100])
            day = f"{MONTHS[split]}-{1 + number % 28:02d}"
            out.write(f"{number}\t{day}\t{code}\t{text}\t{quantity}\t{unit(code)}\t{quantity * 10}\n")
    (folder / "mapping.toml").write_text(MAPPING)
    (folder / "planted.txt").write_text("\n".join(planted))
    print(f"{len(rows)} items, {len(planted)} planted")


def area(scores):
    """The area under the ROC curve of pairs (score, planted); ties count half."""
    scores = sorted(scores)
    ranks, at = 0.0, 0
    while at < len(scores):
        end = at
        while end < len(scores) and scores[end][0] == scores[at][0]:
            end += 1
        ranks += (at + 1 + end) / 2 * sum(planted for _, planted in scores[at:end])
        at = end
    found = sum(planted for _, planted in scores)
    return (ranks - found * (found + 1) / 2) / (found * (len(scores) - found))


def rank(folder, files):
    planted = set((folder / "planted.txt").read_text().split())
    for file in files:
        rows = json.loads(Path(file).read_text())
        scores = [(row.get("misclassification"), row["declaration_id"] in planted) for row in rows]
        scores = sorted((pair for pair in scores if pair[0] is not None), reverse=True)
        found = sum(own for _, own in scores)
        print(f"{file}: {len(scores)} items, {found} planted, AUC {area(scores):.3f}")
        for percent in (5, 10):
            top = [own for _, own in scores[: len(scores) * percent // 100]]
            print(f"  first {percent} %: precision {sum(top) / len(top):.3f}, recall {sum(top) / found:.3f}")


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(sys.argv[2], Path(sys.argv[3]))
    else:
        rank(Path(sys.argv[2]), sys.argv[3:])
