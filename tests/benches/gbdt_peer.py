"""LightGBM on the rows of the bench beside this file, which starts it and reads what it prints.

Arguments: the file of rows, the file for the scores, and the settings as JSON. It prints one line of JSON
with the seconds of binning, of growing the trees and of scoring.
"""

import json
import sys
import time

import lightgbm
import numpy


def main():
    rows_file, scores_file, settings = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    data = numpy.fromfile(rows_file, dtype=numpy.float32)
    features, at = settings["features"], 0

    def part(rows):
        nonlocal at
        table = data[at : at + rows * features].reshape(rows, features)
        labels = data[at + rows * features : at + rows * (features + 1)]
        at += rows * (features + 1)
        return table, labels

    table, labels = part(settings["rows"])
    test, _ = part(settings["rows"])
    parameters = {
        "objective": "binary",
        "num_leaves": settings["leaves"],
        "learning_rate": settings["learning_rate"],
        "feature_fraction": settings["feature_fraction"],
        "max_bin": settings["bins"],
        "min_data_in_leaf": settings["min_rows_per_leaf"],
        "min_sum_hessian_in_leaf": settings["min_hessian"],
        "lambda_l2": settings["l2"],
        "num_threads": settings["threads"],
        "seed": settings["seed"],
        "verbosity": -1,
    }
    begun = time.perf_counter()
    binned = lightgbm.Dataset(table, labels, params=parameters).construct()
    after_bins = time.perf_counter()
    booster = lightgbm.train(parameters, binned, settings["trees"])
    after_trees = time.perf_counter()
    scores = booster.predict(test, num_threads=settings["threads"])
    after_scores = time.perf_counter()
    scores.astype(numpy.float64).tofile(scores_file)
    seconds = {
        "binning": after_bins - begun,
        "growing": after_trees - after_bins,
        "scoring": after_scores - after_trees,
        "version": lightgbm.__version__,
    }
    print(json.dumps(seconds))


main()
