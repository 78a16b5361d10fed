"""Networks and profiles of passengers beside DuckDB 2.0.1, igraph 1.0.0 and pysubgroup 0.9.0, called by hand.

    python -m venv peers && peers/bin/pip install duckdb igraph pandas "pyarrow<21" pysubgroup
    peers/bin/python tests/benches/passengers_peer.py network target/release/tidewaiter ARCHIVE KR [2024-01..2024-06]
    peers/bin/python tests/benches/passengers_peer.py profiles target/release/tidewaiter ARCHIVE KR 2024-01..2024-06 2024-07

ARCHIVE is a local folder whose travellers are linked, such as that of `examples/passengers.toml`. Each mode runs the job of
the program, with its default memory, and then the peers on the same rows with two threads, one after the other and each in a
process of its own. It prints one line of JSON: of each part the seconds by the clock, the processor time (user and system)
and the peak memory, and the figures that must be the same. `PEER_MEMORY=1GiB` bounds DuckDB's memory; `PEER_SECONDS`
(default 1200) ends a peer that takes longer. Steps of the program by processor time are right to about a tenth of a second.

network: DuckDB reads the tables' live files and makes the same links and facts; igraph makes of them Leiden communities,
PageRank, betweenness from as many sources, steps to the nearest offender, and GraphML.
profiles: the features of the job, kept while it runs, and the same conditions; pysubgroup searches conjunctions of the same
length by the same measure, with one condition of an attribute and direction at most. `PEER_ALGORITHMS=DFS,GpGrowth,Apriori`
chooses its algorithms (default: DFS).
"""

import glob
import json
import math
import os
import pathlib
import resource
import signal
import subprocess
import sys
import tempfile
import time
import tomllib

WEIGHTS = {"travel": 1.0, "contact": 1.0, "payment": 1.0, "address": 0.7, "document": 2.0, "agency": 0.2}
MOST_SHARING = 50
TICKS = os.sysconf("SC_CLK_TCK")


def processor_time(pid):
    """The user and system seconds of a process."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def run_job(arguments, watch=lambda: None):
    """Runs a job of the program; gives its outcome and what each step took."""
    started = time.monotonic()
    samples = [(0.0, 0.0)]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as said:
        child = subprocess.Popen([*arguments, "--output", "json"], stdout=out, stderr=said)
        while True:
            watch()
            try:
                samples.append((time.monotonic() - started, processor_time(child.pid)))
            except (OSError, IndexError):
                pass
            pid, status, usage = os.wait4(child.pid, os.WNOHANG)
            if pid:
                break
            time.sleep(0.02)
        wall, child.returncode = time.monotonic() - started, os.waitstatus_to_exitcode(status)
        out.seek(0), said.seek(0)
        if child.returncode:
            raise SystemExit(f"{' '.join(arguments)}: {said.read().decode()[-2000:]}")
        outcome = json.loads(out.read())
    cpu = usage.ru_utime + usage.ru_stime
    samples.append((wall, cpu))

    def cpu_at(moment):
        return next((spent for at, spent in samples if at >= moment), cpu)

    steps, at = {}, max(wall - outcome["seconds"], 0.0)
    for step in outcome["steps"]:
        until = at + step["seconds"]
        steps[step["name"]] = {"wall": round(step["seconds"], 2), "cpu": round(cpu_at(until) - cpu_at(at), 2)}
        at = until
    return outcome, {"wall": round(wall, 2), "cpu": round(cpu, 2), "peak_mib": usage.ru_maxrss // 1024, "steps": steps}


class Clock:
    """What parts of a process take."""

    def __init__(self):
        self.parts = {}

    def part(self, name, work):
        wall, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF)
        found = work()
        after = resource.getrusage(resource.RUSAGE_SELF)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        wall, peak = time.monotonic() - wall, after.ru_maxrss // 1024
        self.parts[name] = {"wall": round(wall, 2), "cpu": round(cpu, 2), "peak_mib": peak}
        return found


def apart(work, *arguments):
    """Does something in a process of its own; gives the figures that it returns and what it took, or why there are none."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            signal.alarm(int(os.environ.get("PEER_SECONDS", "1200")))
            clock = Clock()
            text = json.dumps({"figures": work(clock, *arguments), "parts": clock.parts})
        except BaseException as error:
            text = json.dumps({"error": f"{type(error).__name__}: {error}"})
        with os.fdopen(writer, "w") as out:
            out.write(text)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    _, status, usage = os.wait4(child, 0)
    took = {"cpu": round(usage.ru_utime + usage.ru_stime, 2), "peak_mib": usage.ru_maxrss // 1024}
    if not text:
        return {"error": f"ended by signal {os.waitstatus_to_exitcode(status)}"} | took
    return json.loads(text) | took


# ---- Tables

def live_files(archive, table, country):
    """The data files of a Delta table's newest version."""
    log, folder = {}, pathlib.Path(archive, table)
    start = -1
    last = folder / "_delta_log" / "_last_checkpoint"
    if last.exists():
        import pyarrow.parquet

        start = json.loads(last.read_text())["version"]
        checkpoint = folder / "_delta_log" / f"{start:020}.checkpoint.parquet"
        for row in pyarrow.parquet.read_table(checkpoint, columns=["add"]).to_pylist():
            if row["add"]:
                log[row["add"]["path"]] = dict(row["add"]["partitionValues"])
    for commit in sorted(folder.glob("_delta_log/*.json")):
        if not commit.stem.isdigit() or int(commit.stem) <= start:
            continue
        for line in commit.read_text().splitlines():
            action = json.loads(line)
            if "add" in action:
                log[action["add"]["path"]] = action["add"]["partitionValues"]
            elif "remove" in action:
                log.pop(action["remove"]["path"], None)
    from urllib.parse import unquote

    return [str(folder / unquote(path)) for path, values in log.items() if values.get("country", country) == country]


USED = f"""
    CREATE TABLE used AS SELECT person, kind, key, min(day) AS first, max(day) AS last FROM (
        SELECT person_id AS person, 'travel' AS kind, booking_id AS key, flight_date AS day FROM trips
        UNION ALL SELECT person_id, 'contact', contact_key, flight_date FROM contacts_of WHERE kind IN ('phone', 'email')
        UNION ALL SELECT person_id, 'address', contact_key, flight_date FROM contacts_of WHERE kind = 'address'
        UNION ALL SELECT person_id, 'payment', account_key, flight_date FROM payments_of
        UNION ALL SELECT person_id, 'document', document_key, flight_date FROM documents_of
        UNION ALL SELECT b.person_id, 'agency', a.agency_key, a.flight_date FROM agencies a JOIN booked b USING (booking_id))
    WHERE key IS NOT NULL AND person IS NOT NULL AND {{months}} GROUP BY ALL"""
LINKS = f"""
    CREATE TABLE links AS
    WITH common AS (SELECT kind, key FROM used GROUP BY ALL HAVING count(*) BETWEEN 2 AND {MOST_SHARING}),
        shared AS (SELECT u.* FROM used u JOIN common USING (kind, key))
    SELECT a.person AS one, b.person AS other, a.kind AS kind, count(*) AS shared,
        min(greatest(a.first, b.first)) AS first, max(greatest(a.last, b.last)) AS last
    FROM shared a JOIN shared b ON a.kind = b.kind AND a.key = b.key
    WHERE a.person < b.person GROUP BY ALL ORDER BY one, other, kind"""
FACTS = """
    CREATE TABLE facts AS
    WITH known AS (SELECT t.traveller_id, t.flight_id, t.name_key, p.trip_id, p.person_id
            FROM travellers t JOIN persons p USING (traveller_id)),
        matched AS (
            SELECT o.outcome_id, k.trip_id, k.person_id, 0 AS rank FROM outcomes o JOIN known k USING (flight_id)
                JOIN documents d ON d.traveller_id = k.traveller_id AND d.document_key = o.document_key
            UNION ALL SELECT o.outcome_id, k.trip_id, k.person_id, 1 FROM outcomes o JOIN known k USING (flight_id, name_key)),
        best AS (SELECT outcome_id, min(rank) AS rank FROM matched GROUP BY ALL),
        one AS (SELECT outcome_id, min(person_id) AS person FROM matched JOIN best USING (outcome_id, rank) GROUP BY ALL),
        offences AS (SELECT person, count(*) AS offences FROM one JOIN outcomes USING (outcome_id) WHERE found GROUP BY ALL)
    SELECT t.*, coalesce(offences, 0) AS offences FROM (
        SELECT person_id AS person, count(DISTINCT trip_id) AS trips, min(flight_date) AS first, max(flight_date) AS last
        FROM trips WHERE person_id IS NOT NULL AND {months} GROUP BY ALL) t LEFT JOIN offences USING (person)"""


def duckdb_links(clock, archive, country, months, folder):
    import duckdb

    # Tables of the connection lie in a file, so that they need not fit into the memory that it is given.
    connection = duckdb.connect(f"{folder}/peer.duckdb")
    connection.execute("SET threads = 2")
    connection.execute("SET enable_progress_bar = false")
    connection.execute(f"SET temp_directory = '{folder}'")
    if memory := os.environ.get("PEER_MEMORY"):
        connection.execute(f"SET memory_limit = '{memory}'")
    for name in ["travellers", "persons", "contacts", "payments", "documents", "agencies", "outcomes"]:
        files = live_files(archive, f"passengers/{name}", country)
        connection.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet({files}, hive_partitioning = false)")
    connection.execute(
        "CREATE VIEW trips AS SELECT t.*, p.trip_id, p.person_id FROM travellers t JOIN persons p USING (traveller_id) "
        "WHERE p.is_primary")
    connection.execute(
        "CREATE VIEW booked AS SELECT DISTINCT booking_id, trip_id, person_id FROM trips WHERE booking_id IS NOT NULL")
    for name in ["contacts", "payments", "documents"]:
        connection.execute(
            f"CREATE VIEW {name}_of AS SELECT t.*, p.trip_id, p.person_id FROM {name} t JOIN persons p USING (traveller_id) "
            f"UNION ALL SELECT t.*, b.trip_id, b.person_id FROM {name} t JOIN booked b USING (booking_id) "
            "WHERE t.traveller_id IS NULL")

    def bounds(column):
        if not months:
            return "true"
        first, _, last = months.partition("..")
        return f"{column} >= DATE '{first}-01' AND {column} < DATE '{last or first}-01' + INTERVAL 1 MONTH"

    clock.part("uses", lambda: connection.execute(USED.format(months=bounds("day"))))
    clock.part("links", lambda: connection.execute(LINKS))
    clock.part("facts", lambda: connection.execute(FACTS.format(months=bounds("flight_date"))))
    clock.part("export", lambda: [
        connection.execute(f"COPY {name} TO '{folder}/{name}.parquet'") for name in ["links", "facts"]])
    kinds = connection.execute("SELECT kind, count(*) FROM links GROUP BY ALL").fetchall()
    used, bookings = [connection.execute(query).fetchone()[0] for query in [
        "SELECT count(*) FROM used", "SELECT count(DISTINCT key) FROM used WHERE kind = 'travel'"]]
    return {"version": duckdb.__version__, "used": used, "bookings": bookings, "links_by_kind": dict(kinds)}


def igraph_analysis(clock, folder, graphml, repeats):
    import random
    import re

    import igraph
    import numpy
    import pandas

    def read():
        links, facts = [pandas.read_parquet(f"{folder}/{name}.parquet") for name in ["links", "facts"]]
        codes, names = pandas.factorize(pandas.concat([links.one, links.other]), sort=True)
        count = len(links)
        one, other = codes[:count], codes[count:]
        weights = links.kind.map(WEIGHTS).to_numpy() * (1 + numpy.log(links.shared.to_numpy()))
        keep = (links.kind != "agency").to_numpy()
        keep = keep if keep.any() else ~keep
        pairs = pandas.DataFrame({"one": one[keep], "other": other[keep], "weight": weights[keep]})
        pairs = pairs.groupby(["one", "other"], as_index=False).weight.sum()
        graph = igraph.Graph(len(names), pairs[["one", "other"]].to_numpy())
        graph.vs["name"] = list(names)
        graph.es["weight"] = pairs.weight.to_numpy()
        offences = facts.set_index("person").offences.reindex(names).fillna(0).to_numpy()
        return graph, numpy.flatnonzero(offences > 0), count

    graph, offenders, links = clock.part("read", read)

    def leiden(seed):
        igraph.set_random_number_generator(random.Random(seed))
        found = graph.community_leiden("modularity", weights="weight", n_iterations=-1)
        return found.membership

    labels = clock.part("leiden", lambda: leiden(1))
    modularity = lambda labels: graph.modularity(labels, weights="weight")
    best = max([modularity(labels), *(modularity(leiden(seed)) for seed in range(2, repeats + 1))])
    rank = clock.part("page rank", lambda: graph.pagerank(damping=0.85, weights="weight"))
    count = graph.vcount()
    sources = min(max(200_000_000 // max(links + count, 1), 8), 2000)
    chosen = random.Random(1).sample(range(count), min(sources, count))
    clock.part("betweenness", lambda: graph.betweenness(sources=chosen if sources < count else None))

    def steps():
        wider = graph.copy()
        wider.add_vertex()
        wider.add_edges([(count, int(offender)) for offender in offenders])
        return numpy.array(wider.distances(source=[count], weights=None)[0][:count]) - 1

    near = clock.part("steps to offenders", steps)
    graph.vs["community"] = labels
    clock.part("GraphML", lambda: graph.write_graphml(f"{folder}/peer.graphml"))
    own, own_rank = {}, {}
    line_of = re.compile(r'<node id="([^"]*)">.*"node_community">(\d+)<.*"node_page_rank">([^<]*)<')
    with open(graphml) as lines:
        for line in lines:
            if line.startswith("<edge"):
                break
            if found := line_of.match(line):
                own[found[1]], own_rank[found[1]] = int(found[2]), float(found[3])
    names = graph.vs["name"]
    return {
        "version": igraph.__version__,
        "travellers": count,
        "pairs": graph.ecount(),
        "offenders": len(offenders),
        "beside_offenders": int((near == 1).sum()),
        "modularity_igraph_seed_1": modularity(labels),
        f"modularity_igraph_best_of_{repeats}": best,
        "modularity_ours": modularity([own[name] for name in names]),
        "communities_igraph": len(set(labels)),
        "sources_of_betweenness": min(sources, count),
        "page_rank_differs_by": max(abs(rank[at] * count - own_rank[name]) for at, name in enumerate(names)),
    }


def network(binary, archive, country, months=None):
    asked = ["passengers", "network", "--archive", archive, "--country", country, "--seed", "all"]
    outcome, ours = run_job([binary, *asked, *(["--months", months] if months else [])])
    graphml = next(report for report in outcome["reports"] if report.endswith(".graphml"))
    with tempfile.TemporaryDirectory(dir=os.environ.get("PEER_FOLDER")) as folder:
        links = apart(duckdb_links, archive, country, months, folder)
        repeats = int(os.environ.get("PEER_REPEATS", "5"))
        graph = apart(igraph_analysis, folder, graphml.removeprefix("file://"), repeats) if "figures" in links else None
    figures = {"figures": outcome["metrics"]["network"], "used": outcome["rows"]["in"]}
    return {"ours": ours | figures, "duckdb": links, "igraph": graph}


# ---- Profiles

THRESHOLDS = [0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99]
TEXTS = ["from_airport", "to_airport", "carrier", "origin", "destination", "payment_form", "agency_place", "booking_system"]
MOST_VALUES = 60


def readable(value):
    """A threshold of three figures, in the program's single precision."""
    import numpy

    if value == 0:
        return value
    scale = numpy.float32(10) ** numpy.float32(2 - math.floor(math.log10(abs(value))))
    scale = numpy.float32(1) if scale < 1 else scale
    return numpy.trunc(value * scale + numpy.float32(math.copysign(0.5, value))) / scale


def conditions(rows, least, units):
    """The conditions of the program: the column, the interval or the value, and of whom it holds.

    A column is there once for each direction: of one column a conjunction of pysubgroup has one condition at most.
    """
    import numpy

    found, everything = [], numpy.float32(math.inf)
    for name, unit in units.items():
        values = rows[name].to_numpy()
        known = numpy.sort(values[~numpy.isnan(values)])
        if not len(known) or known[0] == known[-1]:
            continue
        if unit == "Flag":
            found += [(f"{name}|{half}", value, values == value) for half, value in enumerate([1.0, 0.0])]
            continue
        thresholds = [known[math.floor(share * (len(known) - 1) + 0.5)] for share in THRESHOLDS]
        thresholds += [numpy.float32(count) for count in range(3)] if unit == "Count" else []
        for threshold in sorted({readable(value) for value in thresholds}):
            above = numpy.nextafter(threshold, everything)
            found.append((f"{name}|0", (-everything, above), values <= threshold))
            found.append((f"{name}|1", (above, everything), values > threshold))
    for name in TEXTS:
        counts = rows[name][rows[name].notna() & (rows[name] != "")].value_counts()
        for value, _ in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:MOST_VALUES]:
            found.append((f"{name}|0", value, (rows[name] == value).to_numpy(dtype=bool, na_value=False)))
    kept, last = [], None
    for column, value, holds in found:
        size = int(holds.sum())
        if size < least or size == len(rows) or (last is not None and (holds == last).all()):
            continue
        last = holds
        kept.append((column, value, holds))
    return kept


def training_rows(files, train, test):
    """The inspected rows of the training months whose results are known before the test months."""
    import pandas

    rows = pandas.concat([pandas.read_parquet(file) for file in files], ignore_index=True)
    first, _, last = train.partition("..")
    day = lambda month: pandas.Timestamp(f"{month}-01")
    dates, known_on = pandas.to_datetime(rows.flight_date), pandas.to_datetime(rows.known_on)
    end = day(last or first) + pandas.offsets.MonthBegin(1)
    keep = (dates >= day(first)) & (dates < end) & rows.label.notna() & (known_on < day(test.partition("..")[0]))
    return rows[keep].reset_index(drop=True)


def units_of_features():
    """Name and unit of each feature, as the program's list has them."""
    import re

    catalogue = pathlib.Path(__file__).parents[2] / "jobs/passengers/src/features/catalogue.rs"
    return dict(re.findall(r'^ {4}(\w+) (?:Itinerary|Booking|History|Network) (\w+) "', catalogue.read_text(), re.MULTILINE))


def pysubgroup_search(clock, files, train, test, settings, algorithm):
    import numpy
    import pandas
    import pysubgroup

    rows = clock.part("read", lambda: training_rows(files, train, test))
    space = clock.part("conditions", lambda: conditions(rows, settings["least"], units_of_features()))
    positive = rows.label.to_numpy() > 0.5
    share, count = positive.mean(), len(rows)
    worth = lambda holds: (int((holds & positive).sum()) - int(holds.sum()) * share) / count
    # The best first, so that much is left out soon.
    space.sort(key=lambda condition: -worth(condition[2]))
    table = pandas.DataFrame({column: rows[column.split("|")[0]] for column, _, _ in space} | {"found": positive})
    selectors = [
        pysubgroup.IntervalSelector(column, *value) if isinstance(value, tuple) else pysubgroup.EqualitySelector(column, value)
        for column, value, _ in space]
    of = {selector: holds for selector, (_, _, holds) in zip(selectors, space)}
    for selector, holds in of.items():
        assert (selector.covers(table) == holds).all(), f"{selector} is read in another way"
    task = pysubgroup.SubgroupDiscoveryTask(
        table, pysubgroup.BinaryTarget("found", True), selectors, result_set_size=settings["top"], depth=settings["depth"],
        qf=pysubgroup.WRAccQF(), min_quality=1e-12, constraints=[pysubgroup.MinSupportConstraint(settings["least"])])
    how = {"DFS": lambda: pysubgroup.DFS(pysubgroup.BitSetRepresentation), "GpGrowth": pysubgroup.GpGrowth,
           "Apriori": lambda: pysubgroup.Apriori(use_numba=False)}
    result = clock.part("search", lambda: how[algorithm]().execute(task))
    covers = {}
    for _, conjunction, *_ in result.results:
        holds = numpy.all([of[selector] for selector in conjunction.selectors], axis=0)
        covers.setdefault(holds.tobytes(), worth(holds))
    return {"rows": count, "positives": int(positive.sum()), "conditions": len(space), "returned": len(result.results),
            "qualities": sorted(covers.values(), reverse=True)}


def profiles(binary, archive, country, train, test, depth="3"):
    with tempfile.TemporaryDirectory(dir=archive) as kept:
        def keep():
            for file in glob.glob(f"{archive}/work/*/**/*.parquet", recursive=True):
                name = file.removeprefix(f"{archive}/work/").replace("/", "+")
                if not os.path.exists(f"{kept}/{name}"):
                    try:
                        os.link(file, f"{kept}/{name}")
                    except OSError:
                        pass

        asked = ["passengers", "profiles", "--archive", archive, "--country", country, "--train", train, "--test", test]
        # Every rule of the list, however much two of them overlap.
        outcome, ours = run_job([binary, *asked, "--depth", depth, "--rules", "100", "--most-overlap", "1"], keep)
        figures = outcome["metrics"]["profiles"]
        path = next(path for path in outcome["reports"] if path.endswith(".toml"))
        rules = tomllib.loads(pathlib.Path(path.removeprefix("file://")).read_text())
        settings = {"least": 30, "top": 500, "depth": int(depth)}
        # Another job may have run on the archive at the same time.
        files = sorted(glob.glob(f"{kept}/{outcome['job']}+*.parquet"))
        peers = {}
        for algorithm in os.environ.get("PEER_ALGORITHMS", "DFS").split(","):
            peers[algorithm] = apart(pysubgroup_search, files, train, test, settings, algorithm)
    found = [rule["found"] for rule in rules["rule"]]
    for peer in peers.values():
        if "figures" not in peer:
            continue
        of, theirs = peer["figures"], peer["figures"].pop("qualities")
        share = of["positives"] / of["rows"]
        own = [(one["found"] - one["support"] * share) / of["rows"] for one in found]
        # Rules of the same travellers count once on both sides; equal quality stands for that here.
        own, theirs = [sorted({round(value, 12) for value in values}, reverse=True) for values in (own, theirs)]
        size = min(len(own), len(theirs))
        of |= {"compared": size, "top_1": [own[0], theirs[0]],
               "mean_of_top": [sum(own[:size]) / size, sum(theirs[:size]) / size],
               "differs_by_at_most": max(abs(a - b) for a, b in zip(own, theirs))}
    from importlib.metadata import version

    return {"ours": ours | {"tried": figures["tried"], "possible": figures["possible"], "rules": len(found)},
            "pysubgroup": peers, "version": version("pysubgroup")}


def main():
    mode, *arguments = sys.argv[1:]
    print(json.dumps({"network": network, "profiles": profiles}[mode](*arguments)))


main()
