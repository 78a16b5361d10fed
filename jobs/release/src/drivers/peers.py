"""The tree of drivers by scikit-learn and SciPy: the figures that the tests of this folder and of the command hold.

    python peers.py receipt.csv.gz

A tree is grown by its rules: at each node the attribute whose chi-square (SciPy) is the least likely, parted by a
DecisionTreeClassifier of one split (Gini) over the attribute's values in the order of their shares of long cases.
"""

import json
import sys

import numpy
import pandas
from scipy.stats import chi2
from sklearn.tree import DecisionTreeClassifier

FEWEST, LEAST, DEPTH = 50, 0.01, 4


def impurity(long):
    share = long.mean() if len(long) else 0.0
    return len(long) * 2 * share * (1 - share)


def test(values, long):
    """The logarithm of the chance of the association, with rare values taken together."""
    table = pandas.crosstab(values, long)
    if len(table) < 2 or table.shape[1] < 2:
        return 0.0
    table = table.to_numpy().astype(float)
    expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / table.sum()
    statistic = ((table - expected) ** 2 / expected).sum() * (table.sum() - 1) / table.sum()
    return chi2.logsf(statistic, len(table) - 1)


def pooled(values):
    """Rare values together; with the most frequent one where they are few even so."""
    counts = values.value_counts()
    kept = counts[counts >= FEWEST]
    most = min(kept.index, key=lambda value: (-kept[value], value), default="")
    rare = "\0rare" if counts[counts < FEWEST].sum() >= FEWEST or kept.empty else most
    return values.where(values.map(counts) >= FEWEST, rare)


def part(values, long, least):
    """The gain of the best split, and the rows of the side of the greater share."""
    shares = long.groupby(values).mean()
    order = {value: place for place, value in enumerate(sorted(shares.index, key=lambda v: (shares[v], v)))}
    codes = values.map(order).to_numpy().reshape(-1, 1)
    tree = DecisionTreeClassifier(max_depth=1, min_samples_leaf=least, criterion="gini").fit(codes, long)
    if tree.tree_.node_count == 1:
        return None
    above = codes[:, 0] > tree.tree_.threshold[0]
    return impurity(long) - impurity(long[above]) - impurity(long[~above]), above


def grow(rows, attributes, long):
    least = max(FEWEST, int(numpy.ceil(len(rows) * LEAST)))
    whole = impurity(long)
    attributes = [a for a in attributes if rows[a].nunique() > 1]
    nodes = [{"parent": None, "attribute": "", "values": [], "cases": len(rows), "long": int(long.sum())}]
    level = [(0, numpy.ones(len(rows), bool))]
    alone = {}
    for depth in range(DEPTH):
        below = []
        for place, mask in level:
            node, its = rows[mask], long[mask]
            tests = {a: pooled(node[a]) for a in attributes}
            number = sum(values.nunique() > 1 for values in tests.values())
            found = []
            for place_of, (attribute, values) in enumerate(tests.items()):
                chance = min(0.0, test(values, its) + numpy.log(max(number, 1)))
                parted = part(values, its, least) if values.nunique() > 1 else None
                if depth == 0:
                    alone[attribute] = [parted[0] / whole if parted else 0.0, float(numpy.exp(chance))]
                if parted:
                    found.append((chance, -parted[0], place_of, attribute, parted[1]))
            if not found:
                continue
            chance, gain, _, attribute, above = min(found, key=lambda split: split[:3])
            if chance > numpy.log(0.05):
                continue
            nodes[place]["gain"] = -gain / whole
            for side in (above, ~above):
                inside = mask.copy()
                inside[mask] = side
                below.append((len(nodes), inside))
                nodes.append({"parent": place, "attribute": attribute, "values": sorted(rows[attribute][inside].unique()),
                              "cases": int(inside.sum()), "long": int(long[inside].sum())})
        level = [(p, m) for p, m in below if m.sum() >= 2 * least and long[m].sum() > 0]
    return {"nodes": nodes, "alone": alone}


def receipt(path):
    log = pandas.read_csv(path, keep_default_na=False)
    log["time"] = pandas.to_datetime(log["time:timestamp"], utc=True, format="ISO8601")
    log["order"] = numpy.arange(len(log))
    log = log.sort_values(["case:concept:name", "time", "order"], kind="stable")
    roles = {"Confirmation of receipt": "lodged", "T10 Determine necessity to stop indication": "freed",
             "T06 Determine necessity of stop advice": "checked"}
    log["role"] = log["concept:name"].map(roles)
    cases = log.groupby("case:concept:name")
    first = log.groupby(["case:concept:name", "role"])["time"].min().unstack()
    table = pandas.DataFrame({"first": cases["time"].min()}).join(first)
    absent = {"", "EMPTY"}
    for column, source in [("office", "case:department"), ("agency", "org:group"), ("actor", "org:resource"),
                           ("channel", "case:channel")]:
        told = log[~log[source].isin(absent)].groupby("case:concept:name")[source].first()
        table[column] = told.reindex(table.index).fillna("")
    zone = log.groupby("case:concept:name")["time:timestamp"].first().str.extract(r"([+-]\d\d):?(\d\d)$")
    minutes = (zone[0].astype(float) * 60 + numpy.sign(zone[0].astype(float)) * zone[1].astype(float)).fillna(0)
    local = table["first"] + pandas.to_timedelta(minutes.reindex(table.index), unit="m")
    table["weekday"] = (local.dt.day_of_week + 1).astype(str)
    table["time_of_day"] = local.dt.hour.map(lambda hour: ["00-06", "06-12", "12-18", "18-24"][hour // 6])
    cut_off = log["time"].max()
    begun = table["lodged"].notna()
    table = table[begun]
    over = table["freed"].notna()
    hours = (table["freed"].fillna(cut_off) - table["lodged"]).dt.total_seconds() / 3600
    return table, hours, over, cut_off


if __name__ == "__main__":
    table, hours, over, cut_off = receipt(sys.argv[1])
    threshold = numpy.quantile(hours[over & (hours >= 0)], 0.9)
    known = table["lodged"] <= cut_off - pandas.to_timedelta(numpy.ceil(threshold * 3.6e9), unit="us")
    known &= hours >= 0
    rows, long = table[known], (hours >= threshold)[known]
    attributes = ["office", "agency", "actor", "channel", "weekday", "time_of_day"]
    grown = grow(rows.reset_index(drop=True), attributes, long.reset_index(drop=True))
    print(json.dumps({"threshold": float(threshold), **grown}, indent=None))
