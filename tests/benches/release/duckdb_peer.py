"""DuckDB on the archive of the bench beside this file, which writes the stages into its second query.

Arguments: the archive and a folder for spills. It prints one line of JSON.
"""

import duckdb, json, resource, sys, time
archive, temporary = sys.argv[1:]
connection = duckdb.connect()
connection.execute("SET threads = 2")
connection.execute("SET enable_progress_bar = false")
connection.execute(f"SET temp_directory = '{temporary}'")
started = time.monotonic()
rows = f"(SELECT case_id, event, role, epoch_us(event_time) AS t, file_order FROM '{archive}/releases/**/*.parquet')"
edges = connection.execute(f"""
    SELECT source, target, count(*), avg(gap), median(gap), sum(gap) FROM (
        SELECT lag(event) OVER w AS source, event AS target, t - lag(t) OVER w AS gap FROM {rows}
        WINDOW w AS (PARTITION BY case_id ORDER BY t, file_order, event)) WHERE source IS NOT NULL GROUP BY ALL""").fetchall()
cases = connection.execute(f"""
    SELECT count(*), avg(d), quantile_cont(d, [0.1, 0.25, 0.5, 0.75, 0.9, 0.99]), {FIGURES} FROM (
        SELECT max(t) - min(t) AS d, {STAGES} FROM {rows} GROUP BY case_id)""").fetchall()
print(json.dumps({"seconds": time.monotonic() - started, "cases": cases[0][0], "edges": len(edges),
                  "sum": round(sum(edge[5] for edge in edges) / 1e6), "version": duckdb.__version__,
                  "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))
