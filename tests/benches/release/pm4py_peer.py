"""pm4py on the log of the bench beside this file, which starts it and reads what it prints.

`archive ARCHIVE`: edges, throughput and variants of a frame that DuckDB reads and pandas sorts.
`csv FILE`, `parquet FILE`, `xes FILE`: the study's tables from the file on: reading, throughput and edges by the clock and
in working hours (pm4py's own slots, Monday to Friday from 7 to 17), variants and rework.
It prints one line of JSON with the seconds of each step and the figures that ours must have, too.
"""

import contextlib
import json
import resource
import sys
import time
import warnings

warnings.filterwarnings("ignore")
import pandas
import pm4py

QUANTILES = [0.1, 0.25, 0.5, 0.75, 0.9, 0.99]
NAMES = {"case": "case:concept:name", "event": "concept:name", "time": "time:timestamp"}


def read(form, path):
    if form == "xes":
        return pm4py.read_xes(path, show_progress_bar=False)
    log = pandas.read_csv(path) if form == "csv" else pandas.read_parquet(path)
    return pm4py.format_dataframe(log, case_id="case", activity_key="event", timestamp_key="time")


def of_archive(archive):
    import duckdb

    files = f"{archive}/releases/**/*.parquet"
    log = duckdb.sql(f"SELECT case_id, event, event_time, file_order FROM '{files}'").df()
    log = log.sort_values(["case_id", "event_time", "file_order"])
    return log.rename(columns=dict(zip(["case_id", "event", "event_time"], NAMES.values())))


def durations(log, **hours):
    found = pandas.Series(pm4py.get_all_case_durations(log, **hours))
    found.quantile(QUANTILES)
    return found


def total(edges):
    return round(sum(edge["sum"] for edge in edges.values()))


def main():
    form, path = sys.argv[1:]
    steps, started = {}, time.monotonic()

    def step(name, work):
        before = time.monotonic()
        found = work()
        steps[name] = time.monotonic() - before
        return found

    with contextlib.redirect_stdout(sys.stderr):
        if form == "archive":
            log = step("read", lambda: of_archive(path))
        else:
            log = step("read", lambda: read(form, path))
        figures = {}
        cases = step("throughput", lambda: durations(log))
        edges = step("edges", lambda: pm4py.discover_performance_dfg(log)[0])
        variants = step("variants", lambda: pm4py.get_variants(log))
        if form != "archive":
            hours = {"business_hours": True}
            figures["working_throughput"] = round(
                step("throughput in working hours", lambda: durations(log, **hours)).sum()
            )
            figures["working_sum"] = total(
                step("edges in working hours", lambda: pm4py.discover_performance_dfg(log, **hours)[0])
            )
            stage = step("stage", lambda: pm4py.filter_event_attribute_values(
                log, "concept:name", ["arrival", "release"], level="event", retain=True))
            figures["stage"] = round(step("time of the stage", lambda: durations(stage)).sum())
            figures["working_stage"] = round(
                step("time of the stage in working hours", lambda: durations(stage, **hours)).sum()
            )
            rework = step("rework", lambda: pm4py.get_rework_cases_per_activity(log))
            figures["rework"] = sum(rework.values())
    figures |= {
        "seconds": time.monotonic() - started,
        "steps": steps,
        "cases": len(cases),
        "edges": len(edges),
        "sum": total(edges),
        "variants": len(variants),
        "version": pm4py.__version__,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    print(json.dumps(figures))


main()
