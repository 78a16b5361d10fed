"""How hard the generator's declarations are: the ROC AUC of a tuned LightGBM on the last half year.

    tidewaiter synth --country TW --years 3 --rows-per-year 200000 --seed 1 EXPORTS
    python hardness.py EXPORTS          (pandas, lightgbm, scikit-learn)

Every feature of a row uses months strictly before the row's: outcomes of inspected rows as smoothed rates,
medians of price and of mass as ratios, counts. Months 7 to 27 are the training months, 28 to 30 the
validation months (they choose the setting and the number of trees), 31 to 36 the test months; all on rows with a
known outcome.
"""

import pathlib
import sys

import lightgbm
import numpy
import pandas
from sklearn.metrics import roc_auc_score

SINGLE = ["importer", "declarant", "exporter", "carrier", "hs_code", "hs4", "hs2", "origin", "departure", "office"]
PAIRS = [("importer", "hs4"), ("importer", "origin"), ("declarant", "origin"), ("exporter", "hs4"), ("exporter", "origin"),
         ("hs_code", "origin"), ("hs4", "origin"), ("hs_code", "word"), ("importer", "office"), ("origin", "departure")]
CODES = ["origin", "departure", "office", "preference", "transport_mode", "quantity_unit", "invoice_currency", "channel", "hs2", "declarant"]
AMOUNTS = ["duty_rate", "tax_rate", "net_mass", "gross_mass", "quantity", "customs_value", "item_number"]
SETTINGS = [{"num_leaves": leaves, "min_child_samples": rows} for leaves in (15, 31, 63) for rows in (20, 60)]


def read(folder):
    files = sorted(pathlib.Path(folder).glob("declarations-*.csv"))
    rows = pandas.concat([pandas.read_csv(file, dtype=str, keep_default_na=False) for file in files])
    for name in AMOUNTS + ["invoice_value"]:
        rows[name] = pandas.to_numeric(rows[name], errors="coerce")
    date = pandas.to_datetime(rows.acceptance_date, errors="coerce")
    rows["month"] = (date.dt.year - date.dt.year.min()) * 12 + date.dt.month
    sound = rows.month.notna() & (rows.net_mass > 0) & rows.customs_value.notna() & (rows.quantity > 0)
    rows = rows[sound].reset_index(drop=True)
    rows["month"] = rows.month.astype(int)
    rows["outcome"] = rows.illicit.map({"true": 1.0, "false": 0.0})
    rows["hs2"], rows["hs4"] = rows.hs_code.str[:2], rows.hs_code.str[:4]
    rows["word"] = rows.description.str.split(" ").str[0]
    return rows


def past_counts(rows, key):
    """Rows, known outcomes and illicit ones of the key in the months before each row's."""
    table = pandas.DataFrame({"rows": 1, "known": rows.outcome.notna().astype(int), "illicit": rows.outcome.fillna(0.0)})
    table = table.groupby([key, rows.month]).sum()
    before = table.groupby(level=0).cumsum() - table
    return before.reindex(pandas.MultiIndex.from_arrays([key, rows.month])).to_numpy()


def past_median(rows, key, value):
    median = pandas.Series(numpy.nan, index=rows.index)
    for month in range(2, rows.month.max() + 1):
        now, past = rows.month == month, rows.month < month
        median[now] = key[now].map(value[past].groupby(key[past]).median())
    return median


def features(rows):
    made = {name: rows[name] for name in AMOUNTS}
    made |= {f"code_{name}": rows[name].astype("category") for name in CODES}
    made["landed"] = numpy.log(rows.customs_value / rows.invoice_value)
    made["packing"] = numpy.log(rows.gross_mass / rows.net_mass)
    made["same_departure"] = (rows.origin == rows.departure).astype(int)
    keys = {name: pandas.Series(pandas.factorize(rows[name])[0]) for name in SINGLE + ["word"]}
    keys |= {f"{a}_{b}": pandas.Series(pandas.factorize(rows[a] + "|" + rows[b])[0]) for a, b in PAIRS}
    total = past_counts(rows, pandas.Series(0, index=rows.index))
    prior = total[:, 2] / numpy.maximum(total[:, 1], 1)
    for name, key in keys.items():
        count, known, illicit = past_counts(rows, key).T
        made[f"rate_{name}"] = (illicit + 10 * prior) / (known + 10)
        made[f"known_{name}"], made[f"rows_{name}"] = known, count
    made["word_share"] = made["rows_hs_code_word"] / numpy.maximum(made["rows_hs_code"], 1)
    ratios = {"value_per_kg": rows.customs_value / rows.net_mass, "value_per_unit": rows.customs_value / rows.quantity,
              "kg_per_unit": rows.net_mass / rows.quantity}
    for name, ratio in ratios.items():
        ratio = numpy.log(ratio)
        made[name] = ratio
        for by in ["hs_code", "hs_code_origin"]:
            made[f"{name}_by_{by}"] = ratio - past_median(rows, keys[by], ratio)
    return pandas.DataFrame(made)


def main():
    rows = read(sys.argv[1])
    table = features(rows)
    known, last = rows.outcome.notna(), rows.month.max()
    train = known & rows.month.between(7, last - 9)
    validation = known & rows.month.between(last - 8, last - 6)
    test = known & (rows.month > last - 6)
    best = (0.0, None, None)
    for setting in SETTINGS:
        model = lightgbm.LGBMClassifier(n_estimators=1000, learning_rate=0.03, subsample=0.8, subsample_freq=1,
                                        colsample_bytree=0.5, n_jobs=2, random_state=1, verbose=-1, **setting)
        model.fit(table[train], rows.outcome[train], eval_set=[(table[validation], rows.outcome[validation])],
                  eval_metric="auc", callbacks=[lightgbm.early_stopping(100, verbose=False)])
        auc = model.best_score_["valid_0"]["auc"]
        if auc > best[0]:
            best = (auc, setting, model)
    auc, setting, model = best
    test_auc = roc_auc_score(rows.outcome[test], model.predict_proba(table[test])[:, 1])
    print(f"{train.sum()} training rows, {test.sum()} test rows, {rows.outcome[test].mean():.3f} of these illicit; "
          f"{setting}, {model.best_iteration_} trees; ROC AUC validation {auc:.3f}, test {test_auc:.3f}")
    order = numpy.argsort(model.booster_.feature_importance("gain"))[::-1][:8]
    print("by gain:", ", ".join(table.columns[order]))


if __name__ == "__main__":
    main()
