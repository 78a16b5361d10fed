#!/usr/bin/env python3
"""Figures of a cluster of real processes on this machine: what faults cost, and how fast jobs begin and end.

    tests/benches/cluster.py faults BINARY [RUNS]   kill or stop one of two executors at RUNS (20) moments of a retrain
    tests/benches/cluster.py begin  BINARY [RUNS]   from a submission to the first task
    tests/benches/cluster.py cancel BINARY [RUNS]   from a cancellation until the processes compute no more, by kind of job
    tests/benches/cluster.py ended  BINARY [RUNS]   from a scheduler's start to its first answer, with 10,000 ended jobs

A fault is a kill, a stop, or a stop that ends after 12 seconds, which is for the others what a partition of the network
is. What a run takes beyond an undisturbed one with two executors is its cost: no less than what the fault costs, since
one executor goes on as if it were two. Every model must have the bytes of the undisturbed one.
"""
import datetime
import json
import os
import pathlib
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time

MONTHS = ["--train", "2020-01..2020-08", "--valid", "2020-09", "--test", "2020-10..2020-11"]
RETRAIN = ["retrain", "fraud", "--country", "TW", *MONTHS, "--trees", "80", "--shards", "4", "--learning-rate", "0.01"]
SYNTH = ["--country", "TW", "--years", "1", "--rows-per-year", "9000", "--inspection-rate", "0.4"]

MAPPING = """table = "releases"
country = "UG"
[columns]
case_id = { from = "case" }
event = { from = "event" }
event_time = { from = "time" }
"""


class Cluster:
    """A scheduler and executors of one slot each, over an archive with a year of declarations."""

    def __init__(self, binary, executors):
        self.binary = os.path.abspath(binary)
        self.folder = pathlib.Path(tempfile.mkdtemp())
        exports = self.folder / "exports"
        self.run("synth", str(exports), *SYNTH)
        self.run("ingest", "declarations", "--mapping", str(exports / "mapping.toml"),
                 *sorted(str(path) for path in exports.glob("declarations-*.csv")))
        self.processes = []
        command = [self.binary, "scheduler", "--bind", "127.0.0.1:0", "--exports", str(self.folder),
                   "--archive", str(self.folder / "archive")]
        self.scheduler = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.url = self.scheduler.stderr.readline().split()[-1]
        self.executors = [self.executor(number) for number in range(executors)]

    def ticks(self):
        """The processor time of the processes so far, in hundredths of a second."""
        total = 0
        for process in [self.scheduler, *self.executors]:
            fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total

    def executor(self, number):
        work = tempfile.mkdtemp(dir=self.folder)
        log = open(self.folder / f"executor-{number}.log", "w")
        command = [self.binary, "executor", "--scheduler", self.url, "--port", "0", "--work-folder", work]
        environment = {**os.environ, "TIDEWAITER_LOG": "ballista_executor=info", "NO_COLOR": "1"}
        process = subprocess.Popen(command, stderr=log, env=environment)
        self.processes.append(process)
        return process

    def run(self, *arguments, there=False):
        place = ["--scheduler", self.url] if there else ["--archive", str(self.folder / "archive")]
        command = [self.binary, "--output", "json", *place, *arguments]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    def ended(self, job):
        """The job when it has ended."""
        while True:
            shown = self.run("jobs", "show", job, there=True)
            if shown["ended_ms"]:
                return shown
            time.sleep(0.05)

    def models(self):
        files = (self.folder / "archive" / "models").glob("*/*/model.bin")
        return [path.read_bytes() for path in sorted(files, key=lambda path: path.stat().st_mtime)]

    def end(self):
        for process in [self.scheduler, *self.processes]:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()


def seconds(job):
    return (job["ended_ms"] - job["submitted_ms"]) / 1000


def undisturbed(cluster):
    """The median of three runs, and the model's bytes; the first run also warms the processes."""
    times = []
    for _ in range(3):
        job = cluster.run("--detach", *RETRAIN, there=True)["job"]
        times.append(seconds(cluster.ended(job)))
    return statistics.median(times), cluster.models()[-1]


def faults(binary, runs):
    chance = random.Random(17)
    two = Cluster(binary, 2)
    try:
        together, model = undisturbed(two)
        print(f"undisturbed: {together:.1f} s")
        costs = []
        for run in range(runs):
            kind = ["kill", "stop", "partition"][run % 3]
            moment = chance.uniform(0.0, together)
            while len([process for process in two.executors if process.poll() is None]) < 2:
                two.executors = [process for process in two.executors if process.poll() is None]
                two.executors.append(two.executor(f"{run}-again"))
            time.sleep(2.0)
            job = two.run("--detach", *RETRAIN, there=True)["job"]
            begin = time.monotonic()
            time.sleep(moment)
            victim = two.executors[0]
            victim.send_signal(signal.SIGKILL if kind == "kill" else signal.SIGSTOP)
            if kind == "kill":
                victim.wait()
            heals = begin + moment + 12.0
            while True:
                shown = two.run("jobs", "show", job, there=True)
                if kind == "partition" and time.monotonic() > heals:
                    victim.send_signal(signal.SIGCONT)
                if shown["ended_ms"]:
                    break
                time.sleep(0.05)
            if kind != "kill":
                victim.kill()
                victim.send_signal(signal.SIGCONT)
                victim.wait()
            assert shown["status"] == "succeeded", shown
            assert two.models()[-1] == model, "the model's bytes differ"
            costs.append(seconds(shown) - together)
            print(f"{kind:<9} after {moment:5.1f} s: {seconds(shown):5.1f} s, cost {costs[-1]:5.1f} s, same bytes",
                  flush=True)
        print(f"cost: median {statistics.median(costs):.1f} s, most {max(costs):.1f} s, of {len(costs)} runs")
    finally:
        two.end()


BACKTEST = ["backtest", "fraud", "--country", "TW", "--from", "2020-05", "--to", "2020-12", "--seeds", "4",
            "--strategy", "gbdt+badge", "--trees", "300"]

LONG = ["retrain", "fraud", "--country", "TW", "--train", "2020-01..2020-08", "--test", "2020-10..2020-11"]

# The step in which a job is cancelled, the job, and its arguments; {} is the cluster's folder.
CANCELLED = [
    ("profile", "quality", ["quality"]),
    ("features", "retrain fraud", [*LONG, "--trees", "3000"]),
    ("fit", "retrain fraud", [*LONG, "--trees", "3000"]),
    ("fit", "retrain fraud, DATE", [*LONG, "--trees", "10", "--model", "date", "--epochs", "200"]),
    ("texts", "retrain hs", ["retrain", "hs", "--country", "TW", "--train", "2020-01..2020-08", "--valid", "2020-09",
                             "--test", "2020-10..2020-11"]),
    ("runs", "backtest fraud", BACKTEST),
    ("generate", "synth", ["synth", "{}/more", "--country", "TW", "--years", "20", "--rows-per-year", "200000"]),
]


def idle(cluster, cancelled):
    """Seconds from a moment until the processes have computed less than a twentieth of a core for a fifth of a second."""
    before, at = cluster.ticks(), time.monotonic()
    while True:
        time.sleep(0.2)
        now = cluster.ticks()
        if now - before < 5:
            return max(0.0, at - cancelled)
        before, at = now, time.monotonic()


def cancel(binary, runs):
    cluster = Cluster(binary, 2)
    try:
        for step, kind, arguments in CANCELLED:
            times = []
            for run in range(runs):
                arguments = [argument.format(cluster.folder) for argument in arguments]
                job = cluster.run("--detach", *arguments, there=True)["job"]
                since = None
                while True:
                    shown = cluster.run("jobs", "show", job, there=True)
                    assert not shown["ended_ms"], (kind, shown)
                    if (shown["step"] or "").endswith(step):
                        since = since or cluster.ticks()
                        if cluster.ticks() > since + 10:
                            break
                asked = time.monotonic()
                assert cluster.run("jobs", "cancel", job, there=True)["status"] == "cancelled"
                times.append(idle(cluster, asked))
            print(f"{kind}, in its step {step}: idle after {statistics.median(times):.2f} s (median), "
                  f"{max(times):.2f} at most, of {runs}", flush=True)
    finally:
        cluster.end()


def ended(binary, runs):
    events = [
        {"event": "submitted", "specification": {"kind": "quality"}, "at_ms": 1000},
        {"event": "step_started", "step": "profile", "at_ms": 2000},
        {"event": "step_finished", "step": "profile", "outcome": {}, "at_ms": 3000},
        {"event": "succeeded", "outcome": {}, "at_ms": 4000},
    ]
    with tempfile.TemporaryDirectory() as folder:
        ledger = pathlib.Path(folder) / "archive" / "ledger-ended"
        ledger.mkdir(parents=True)
        for job in range(10_000):
            (ledger / f"01JOB{job:05}.json").write_text(json.dumps(events))
        listens, answers = [], []
        for _ in range(runs):
            begun = time.monotonic()
            command = [binary, "scheduler", "--bind", "127.0.0.1:0", "--archive", str(ledger.parent)]
            scheduler = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
            try:
                url = scheduler.stderr.readline().split()[-1]
                listens.append(time.monotonic() - begun)
                subprocess.run([binary, "--scheduler", url, "jobs", "show", "01JOB00007"], check=True,
                               capture_output=True)
                answers.append(time.monotonic() - begun)
            finally:
                scheduler.kill()
                scheduler.wait()
        for what, times in [("listens", listens), ("has shown a job", answers)]:
            print(f"with 10,000 ended jobs it {what} after {1000 * statistics.median(times):.0f} ms (median), "
                  f"{1000 * max(times):.0f} at most, of {runs}")


def begin(binary, runs):
    cluster = Cluster(binary, 1)
    try:
        log = cluster.folder / "executor-0.log"
        mapping = cluster.folder / "mapping.toml"
        mapping.write_text(MAPPING)
        from_start, from_submission = [], []
        for run in range(-1, runs):
            export = cluster.folder / f"{run}.csv"
            export.write_text(f"case,event,time\n{run},lodge,2024-02-03T08:00Z\n")
            known = len(log.read_text().splitlines())
            start = time.time()
            job = cluster.run("--detach", "ingest", "releases", "--mapping", str(mapping), str(export), there=True)["job"]
            shown = cluster.ended(job)
            assert shown["status"] == "succeeded", shown
            if run < 0:
                continue
            lines = [line for line in log.read_text().splitlines()[known:] if "Received task" in line]
            stamp = lines[0].split()[0].replace("Z", "+00:00")
            first = datetime.datetime.fromisoformat(stamp).timestamp()
            from_start.append(first - start)
            from_submission.append(first - shown["submitted_ms"] / 1000)
        for what, times in [("start of the command", from_start), ("submission", from_submission)]:
            print(f"{what} to first task: median {1000 * statistics.median(times):.0f} ms, "
                  f"{1000 * min(times):.0f} to {1000 * max(times):.0f}, of {runs}")
    finally:
        cluster.end()


if __name__ == "__main__":
    # Asked to end, it ends its processes first.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    what, binary = sys.argv[1:3]
    modes = {"faults": faults, "begin": begin, "cancel": cancel, "ended": ended}
    modes[what](binary, int(sys.argv[3]) if len(sys.argv) > 3 else 20)
