"""The peers of the HS model on a table of declarations with a split of its own, for docs/benchmarks.md and the tests.

Needs scikit-learn and, with --fasttext, fasttext from PyPI:

    python peers.py TABLE.tsv.gz [--part 0.25] [--level 6] [--fasttext]

TF-IDF of words and pairs of words, and of character 3- to 5-grams within words, then a linear SVM
(C = 1, squared hinge), one against the rest; texts are taught by the split `train` and judged by `test`.
--part takes the texts whose skeleton begins so (0.25: hexadecimal 0 to 3).
"""

import argparse
import gzip
import re
import time

import numpy as np


def main():
    options = argparse.ArgumentParser()
    options.add_argument("table")
    options.add_argument("--part", type=float, default=1.0)
    options.add_argument("--level", type=int, default=6)
    options.add_argument("--fasttext", action="store_true")
    options.add_argument("--judge", default="test")
    options = options.parse_args()
    parts = {"train": ([], []), options.judge: ([], [])}
    with gzip.open(options.table, "rt", encoding="utf-8") as table:
        next(table)
        for line in table:
            split, code, _, skeleton, text, _ = line.rstrip("\n").split("\t")
            if split in parts and int(skeleton[0], 16) < 16 * options.part:
                parts[split][0].append(text)
                parts[split][1].append(code[: options.level])
    (train, taught), (test, truth) = parts["train"], parts[options.judge]
    if options.fasttext:
        scores, classes, seconds, applied = fasttext_scores(train, taught, test)
    else:
        scores, classes, seconds, applied = svm_scores(train, taught, test)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    ranked = np.array(classes)[order]
    hits = ranked == np.array(truth)[:, None]
    shares = [round(100 * hits[:, :k].any(axis=1).mean(), 2) for k in (1, 3, 5, 10)]
    print(f"{len(train)} texts teach {len(classes)} codes, {len(test)} judge: top 1/3/5/10 {shares}")
    print(f"taught in {seconds:.1f} s, applied {len(test) / applied:.0f} texts/s")


def svm_scores(train, taught, test):
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import FeatureUnion
    from sklearn.svm import LinearSVC

    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    pieces = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), min_df=2, sublinear_tf=True)
    union = FeatureUnion([("words", words), ("pieces", pieces)])
    begun = time.time()
    vectors = union.fit_transform(train)
    model = LinearSVC(C=1.0).fit(vectors, taught)
    seconds = time.time() - begun
    begun = time.time()
    scores = model.decision_function(union.transform(test))
    return scores, model.classes_, seconds, time.time() - begun


def fasttext_scores(train, taught, test):
    import tempfile

    import fasttext

    def words(text):
        return " ".join(re.findall(r"[^\W\d_]+|\d+", text.lower())) or "none"

    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.writelines(f"__label__{code} {words(text)}\n" for text, code in zip(train, taught))
        file.flush()
        begun = time.time()
        model = fasttext.train_supervised(
            file.name, dim=100, epoch=40, lr=0.5, wordNgrams=2, minn=3, maxn=5, loss="softmax",
            bucket=400_000, thread=2, verbose=0,
        )
        seconds = time.time() - begun
    classes = sorted(set(taught))
    number = {f"__label__{code}": at for at, code in enumerate(classes)}
    scores = np.zeros((len(test), len(classes)), dtype=np.float32)
    begun = time.time()
    for row, text in enumerate(test):
        labels, probabilities = model.f.predict(words(text) + "\n", 10, 0.0, "strict"), None
        for probability, label in labels:
            scores[row, number[label]] = probability
    return scores, classes, seconds, time.time() - begun


if __name__ == "__main__":
    main()
