"""The peers of the HS model on a table of declarations with a split of its own, for docs/benchmarks.md and the tests.

Needs scikit-learn and, for fastText, fasttext from PyPI:

    python peers.py TABLE.tsv.gz [--model svm|knn|fasttext] [--levels 2,4,6] [--part 0.25] [--threads 2]

Models are trained on the split `train` and evaluated on `test`. TF-IDF is of words and pairs of words, and of character 3- to
5-grams within words. svm: a linear SVM (C = 1, squared hinge), one against the rest, for each level by itself. knn: the 25
nearest texts, each with its cosine for a vote. fasttext: dimension 100, 40 epochs, pairs of words, 3- to 5-grams, softmax
over six digits. The latter two are trained on six digits, and give headings and chapters the sums of their subheadings.
--part takes the texts whose skeleton begins so (0.25: hexadecimal 0 to 3). Seconds are wall time; the training's processor
time, which other work on the machine does not lengthen, is printed beside it.
"""

import argparse
import gzip
import re
import tempfile
import time

import numpy as np

NEIGHBOURS = 25
BATCH = 500


def main():
    options = argparse.ArgumentParser()
    options.add_argument("table")
    options.add_argument("--model", choices=["svm", "knn", "fasttext"], default="svm")
    options.add_argument("--levels", default="6")
    options.add_argument("--part", type=float, default=1.0)
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--scored", default="test")
    options = options.parse_args()
    parts = {"train": ([], []), options.scored: ([], [])}
    with gzip.open(options.table, "rt", encoding="utf-8") as table:
        next(table)
        for line in table:
            split, code, _, skeleton, text, _ = line.rstrip("\n").split("\t")
            if split in parts and int(skeleton[0], 16) < 16 * options.part:
                parts[split][0].append(text)
                parts[split][1].append(code[:6])
    (train, labels), (test, truth) = parts["train"], parts[options.scored]
    levels = [int(level) for level in options.levels.split(",")]
    if options.model == "svm":
        for level in levels:
            own = [code[:level] for code in labels]
            scores, classes, seconds, applied = svm(train, own, test)
            show(level, scores, classes, truth, seconds, applied)
    else:
        learn = knn if options.model == "knn" else fasttext
        scores, classes, seconds, applied = learn(train, labels, test, options.threads)
        for level in levels:
            above = sorted({code[:level] for code in classes})
            place = {code: at for at, code in enumerate(above)}
            sums = np.zeros((len(above), len(test)), dtype=np.float32)
            np.add.at(sums, [place[code[:level]] for code in classes], scores.T)
            show(level, sums.T, above, truth, seconds, applied)


def seconds_since(begun):
    """The seconds since both clocks stood so: by the clock, and of processor time."""
    return time.time() - begun[0], time.process_time() - begun[1]


def clocks():
    return time.time(), time.process_time()


def show(level, scores, classes, truth, seconds, applied):
    best = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    hits = np.array(classes)[best] == np.array([code[:level] for code in truth])[:, None]
    # What no evidence speaks for is no recommendation.
    hits &= np.take_along_axis(scores, best, axis=1) != 0
    shares = " / ".join(f"{100 * hits[:, :k].any(axis=1).mean():.2f}" for k in (1, 3, 5, 10))
    print(f"{level} digits, {len(classes)} codes, {len(truth)} texts scored: top 1/3/5/10 {shares}; "
          f"trained in {seconds[0]:.1f} s, {seconds[1]:.1f} s of processor time, applied {len(truth) / applied:.0f} texts/s", flush=True)


def tfidf():
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import FeatureUnion

    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    pieces = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), min_df=2, sublinear_tf=True)
    return FeatureUnion([("words", words), ("pieces", pieces)])


def svm(train, labels, test):
    from sklearn.svm import LinearSVC

    union = tfidf()
    begun = clocks()
    vectors = union.fit_transform(train)
    model = LinearSVC(C=1.0).fit(vectors, labels)
    seconds = seconds_since(begun)
    begun = time.time()
    scores = model.decision_function(union.transform(test))
    return scores, model.classes_, seconds, time.time() - begun


def knn(train, labels, test, threads):
    from sklearn.neighbors import NearestNeighbors

    union = tfidf()
    begun = clocks()
    vectors = union.fit_transform(train)
    model = NearestNeighbors(n_neighbors=NEIGHBOURS, metric="cosine", n_jobs=threads).fit(vectors)
    seconds = seconds_since(begun)
    classes = sorted(set(labels))
    number = {code: at for at, code in enumerate(classes)}
    of_text = np.array([number[code] for code in labels])
    scores = np.zeros((len(test), len(classes)), dtype=np.float32)
    begun = time.time()
    for first in range(0, len(test), BATCH):
        distances, found = model.kneighbors(union.transform(test[first : first + BATCH]))
        rows = np.arange(first, first + len(found))[:, None]
        np.add.at(scores, (rows, of_text[found]), np.maximum(1 - distances, 0))
    return scores, classes, seconds, time.time() - begun


def fasttext(train, labels, test, threads):
    import fasttext as peer

    def words(text):
        return " ".join(re.findall(r"[^\W\d_]+|\d+", text.lower())) or "none"

    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.writelines(f"__label__{code} {words(text)}\n" for text, code in zip(train, labels))
        file.flush()
        begun = clocks()
        model = peer.train_supervised(
            file.name, dim=100, epoch=40, lr=0.5, wordNgrams=2, minn=3, maxn=5, loss="softmax",
            bucket=400_000, thread=threads, verbose=0,
        )
        seconds = seconds_since(begun)
    classes = sorted(set(labels))
    number = {f"__label__{code}": at for at, code in enumerate(classes)}
    scores = np.zeros((len(test), len(classes)), dtype=np.float32)

    def predict(text, count):
        # The binding's own predict() does not work with NumPy 2.
        return model.f.predict(words(text) + "\n", count, 0.0, "strict")

    begun = time.time()
    for text in test:
        predict(text, 10)
    applied = time.time() - begun
    for row, text in enumerate(test):
        for probability, label in predict(text, len(classes)):
            scores[row, number[label]] = probability
    return scores, classes, seconds, applied


if __name__ == "__main__":
    main()
