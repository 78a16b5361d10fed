#!/usr/bin/env python3
"""Figures of a cluster of real processes on this machine: what faults cost, and how fast jobs begin and end.

    tests/benches/cluster.py faults BINARY [RUNS]   kill, stop or cut off one of two executors at RUNS (20) moments
    tests/benches/cluster.py begin  BINARY [RUNS]   from a submission to the first task
    tests/benches/cluster.py cancel BINARY [RUNS]   from a cancellation until the processes compute no more, by kind of job
    tests/benches/cluster.py ended  BINARY [RUNS]   from a scheduler's start to its first answer, with 10,000 ended jobs
    tests/benches/cluster.py many   BINARY [FILES]  a query over a table of FILES (10,500) files
    tests/benches/cluster.py first  BINARY          a scheduler and an executor as first processes are asked to end

A fault is a kill, a stop, or a partition: the executor's network is cut for 12 seconds (its own network namespace, which
needs root; without it the process is stopped as long, which is the same for the others). What a run takes beyond an
undisturbed one with two executors is its cost: no less than what the fault costs, since one executor goes on as if it
were two. Every model must have the bytes of the undisturbed one.
"""
import datetime
import json
import os
import pathlib
import random
import shutil
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


def command(*words):
    subprocess.run(words, check=True, capture_output=True)


class Network:
    """A bridge of this machine, and a network namespace on it for each executor."""

    HOST = "10.97.3.254"

    def __init__(self):
        self.name = f"tw{os.getpid() % 100000}"
        self.places = 0
        command("ip", "link", "add", self.name, "type", "bridge")
        command("ip", "addr", "add", f"{self.HOST}/24", "dev", self.name)
        command("ip", "link", "set", self.name, "up")

    @classmethod
    def here(cls):
        """A network, or None where this user may make none."""
        try:
            return cls()
        except (OSError, subprocess.CalledProcessError):
            return None

    def add(self):
        """A place: its number, the words that begin a command there, and its address."""
        self.places += 1
        number = self.places
        name, outside, inside = f"{self.name}n{number}", f"{self.name}o{number}", f"{self.name}i{number}"
        command("ip", "netns", "add", name)
        command("ip", "link", "add", outside, "type", "veth", "peer", "name", inside)
        command("ip", "link", "set", outside, "master", self.name, "up")
        command("ip", "link", "set", inside, "netns", name)
        command("ip", "-n", name, "addr", "add", f"10.97.3.{number}/24", "dev", inside)
        command("ip", "-n", name, "link", "set", inside, "up")
        command("ip", "-n", name, "link", "set", "lo", "up")
        return number, ["ip", "netns", "exec", name], f"10.97.3.{number}"

    def set(self, number, state):
        """Cuts a place off ("down"), or joins it again ("up")."""
        command("ip", "link", "set", f"{self.name}o{number}", state)

    def end(self):
        for number in range(1, self.places + 1):
            command("ip", "netns", "del", f"{self.name}n{number}")
        command("ip", "link", "del", self.name)


class Cluster:
    """A scheduler and executors of one slot each, over an archive with a year of declarations."""

    def __init__(self, binary, executors, network=None):
        self.binary = os.path.abspath(binary)
        self.network = network
        self.places = {}
        self.folder = pathlib.Path(tempfile.mkdtemp())
        exports = self.folder / "exports"
        self.run("synth", str(exports), *SYNTH)
        self.run("ingest", "declarations", "--mapping", str(exports / "mapping.toml"),
                 *sorted(str(path) for path in exports.glob("declarations-*.csv")))
        self.processes = []
        host = Network.HOST if network else "127.0.0.1"
        command = [self.binary, "scheduler", "--bind", f"{host}:0", "--exports", str(self.folder),
                   "--archive", str(self.folder / "archive"), *(["--insecure"] if network else [])]
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
        place = None
        if self.network:
            place, words, address = self.network.add()
            command = [*words, *command, "--host", address, "--insecure"]
        process = subprocess.Popen(command, stderr=log, env=environment)
        self.places[process.pid] = place
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
        if self.network:
            self.network.end()
        shutil.rmtree(self.folder)


def seconds(job):
    return (job["ended_ms"] - job["submitted_ms"]) / 1000


def undisturbed(cluster):
    """The median of three runs, and the model's bytes; the first run also warms the processes."""
    times = []
    for _ in range(3):
        job = cluster.run("--detach", *RETRAIN, there=True)["job"]
        times.append(seconds(cluster.ended(job)))
    return statistics.median(times), cluster.models()[-1]


def cut(cluster, victim, is_cut):
    place = cluster.places[victim.pid]
    if place is None:
        victim.send_signal(signal.SIGSTOP if is_cut else signal.SIGCONT)
    else:
        cluster.network.set(place, "down" if is_cut else "up")


def faults(binary, runs):
    chance = random.Random(17)
    network = Network.here()
    print("partitions cut the network" if network else "partitions stop the process for their time")
    two = Cluster(binary, 2, network)
    try:
        together, model = undisturbed(two)
        print(f"undisturbed: {together:.1f} s")
        costs = {"kill": [], "stop": [], "partition": []}
        for run in range(runs):
            kind = ["kill", "stop", "partition"][run % 3]
            moment = chance.uniform(0.0, together)
            two.executors = [process for process in two.executors if process.poll() is None]
            while len(two.executors) < 2:
                two.executors.append(two.executor(f"{run}-again"))
            time.sleep(2.0)
            job = two.run("--detach", *RETRAIN, there=True)["job"]
            begin = time.monotonic()
            time.sleep(moment)
            victim = two.executors[0]
            if kind == "kill":
                victim.kill()
                victim.wait()
            elif kind == "stop":
                victim.send_signal(signal.SIGSTOP)
            else:
                cut(two, victim, True)
            heals = begin + moment + 12.0
            while True:
                shown = two.run("jobs", "show", job, there=True)
                if kind == "partition" and heals and time.monotonic() > heals:
                    cut(two, victim, False)
                    heals = None
                if shown["ended_ms"]:
                    break
                time.sleep(0.05)
            if kind == "partition" and heals:
                cut(two, victim, False)
            if kind != "kill":
                victim.kill()
                victim.send_signal(signal.SIGCONT)
                victim.wait()
            assert shown["status"] == "succeeded", shown
            assert two.models()[-1] == model, "the model's bytes differ"
            cost = seconds(shown) - together
            costs[kind].append(cost)
            notes = "; ".join(note["text"] for note in shown.get("notes", []))
            print(f"{kind:<9} after {moment:5.1f} s: {seconds(shown):5.1f} s, cost {cost:5.1f} s, same bytes  {notes}",
                  flush=True)
        for kind, of_kind in [*costs.items(), ("all", sum(costs.values(), []))]:
            if of_kind:
                print(f"cost of {kind}: median {statistics.median(of_kind):.1f} s, most {max(of_kind):.1f} s, "
                      f"of {len(of_kind)} runs")
    finally:
        two.end()


BACKTEST = ["backtest", "fraud", "--country", "TW", "--from", "2020-05", "--to", "2020-12", "--seeds", "4",
            "--strategy", "gbdt+badge", "--trees", "300"]

LONG = ["retrain", "fraud", "--country", "TW", "--train", "2020-01..2020-08", "--test", "2020-10..2020-11"]

APPLY = ["apply", "fraud", "--country", "TW", "--months", "2020-12"]
STUDY = ["release-study", "--by", "office", "--from", "2024-02-01"]
MESSAGES = ["ingest", "passengers", "{}/made/messages", "--country", "KR", "--key", "{}/made/pseudonym.key"]
OUTCOMES = ["ingest", "passengers", "{}/made/outcomes.csv", "--mapping", "{}/made/outcomes.toml", "--key",
            "{}/made/pseudonym.key"]
LINK = ["passengers", "link", "--country", "KR"]
PERIODS = ["--train", "2024-01", "--valid", "2024-02", "--test", "2024-03"]
RISK = ["retrain", "passengers", "--country", "KR", *PERIODS]
IMAGES = ["ingest", "images", "--annotations", "{}/drawn/annotations.json", "--mapping", "{}/drawn/mapping.toml",
          "{}/drawn/images"]
DETECTOR = ["retrain", "xray", "--country", "TW", *PERIODS, "--side", "64", "--width", "8", "--shards", "4"]
FIND = ["apply", "xray", "--country", "TW", "--months", "2024-01..2024-03"]

# The step in which a job is cancelled, the job, and its arguments; {} is the cluster's folder. A line without a step is
# run to its end, for those below it.
CANCELLED = [
    ("", "ingest", ["ingest", "declarations", "--mapping", "{}/exports/mapping.toml", "{}/repeated/*.csv"]),
    ("profile", "quality", ["quality"]),
    ("features", "retrain fraud", [*LONG, "--trees", "3000"]),
    ("fit", "retrain fraud", [*LONG, "--trees", "3000"]),
    ("fit", "retrain fraud, DATE", [*LONG, "--trees", "10", "--model", "date", "--epochs", "200"]),
    ("texts", "retrain hs", ["retrain", "hs", "--country", "TW", "--train", "2020-01..2020-08", "--valid", "2020-09",
                             "--test", "2020-10..2020-11"]),
    ("runs", "backtest fraud", BACKTEST),
    ("runs", "pipeline", ["run", "{}/pipeline.toml"]),
    ("generate", "synth", ["synth", "{}/more", "--country", "TW", "--years", "20", "--rows-per-year", "200000"]),
    (None, "retrain fraud", [*LONG, "--trees", "2"]),
    (None, "ingest", ["ingest", "declarations", "--mapping", "{}/exports/mapping.toml", "{}/repeated/*.csv"]),
    ("features", "apply fraud", APPLY),
    ("declarations", "archive optimise", ["archive", "optimise", "declarations"]),
    ("verify", "archive verify", ["archive", "verify"]),
    ("vacuum", "archive vacuum", ["archive", "vacuum", "--older-than", "0"]),
    (None, "ingest releases", ["ingest", "releases", "--mapping", "{}/events.toml", "{}/events.csv"]),
    ("cases", "release-study", STUDY),
    ("", "ingest passengers", MESSAGES),
    (None, "ingest passengers", MESSAGES),
    (None, "ingest outcomes", OUTCOMES),
    ("", "passengers link", LINK),
    (None, "passengers link", LINK),
    ("", "passengers network", ["passengers", "network", "--country", "KR"]),
    ("", "retrain passengers", [*RISK, "--trees", "20000"]),
    ("", "ingest images", IMAGES),
    (None, "ingest images", IMAGES),
    ("fit", "retrain xray", [*DETECTOR, "--epochs", "2000"]),
    (None, "retrain xray", [*DETECTOR, "--epochs", "1"]),
    ("find", "apply xray", FIND),
]

PIPELINE = """[[job]]
kind = "backtest"
model = "fraud"
country = "TW"
from = "2020-05"
to = "2020-12"
seeds = 4
strategies = ["gbdt+badge"]
trees = { trees = 300 }
"""

EVENTS = """table = "releases"
country = "UG"
[columns]
case_id = { from = "case" }
event = { from = "event" }
event_time = { from = "time" }
role = { from = "event", other = "", values = { lodge = "lodgement", free = "release" } }
office = { from = "office" }
"""

# Files that no table knows, for a vacuum.
LEFT = 60_000


def prepare(cluster):
    """What the cancelled jobs read."""
    repeated = cluster.folder / "repeated"
    repeated.mkdir()
    for path in (cluster.folder / "exports").glob("declarations-*.csv"):
        header, rows = path.read_text().split("\n", 1)
        (repeated / path.name).write_text(header + "\n" + 40 * rows)
    (cluster.folder / "pipeline.toml").write_text(PIPELINE)
    (cluster.folder / "events.toml").write_text(EVENTS)
    with open(cluster.folder / "events.csv", "w") as out:
        out.write("case,event,time,office\n")
        for case in range(300_000):
            day, office = 1 + case % 27, "ABC"[case // 7 % 3]
            out.write(f"{case},lodge,2024-02-{day:02}T08:{case % 60:02}Z,{office}\n"
                      f"{case},free,2024-03-{day:02}T{10 + case % 13}:00Z,{office}\n")
    cluster.run("synth", "passengers", str(cluster.folder / "made"), "--country", "KR", "--months", "2024-01..2024-03",
                "--travellers", "20000")
    cluster.run("synth", "xray", str(cluster.folder / "drawn"), "--country", "TW", "--images", "300", "--months",
                "2024-01..2024-03", "--threats", "0.6")


def leave_files(cluster):
    folder = cluster.folder / "archive" / "declarations" / "country=TW" / "year=2020" / "month=1"
    for file in range(LEFT):
        (folder / f"01LEFT-{file:05}.parquet").touch()


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
        prepare(cluster)
        all_times = []
        for step, kind, arguments in CANCELLED:
            arguments = [argument.replace("{}", str(cluster.folder)) for argument in arguments]
            if step is None:
                cluster.run(*arguments, there=True)
                continue
            times, missed = [], 0
            for run in range(runs):
                if kind == "archive vacuum":
                    leave_files(cluster)
                since, before = None, cluster.ticks()
                job = cluster.run("--detach", *arguments, there=True)["job"]
                while True:
                    shown = cluster.run("jobs", "show", job, there=True)
                    if shown["ended_ms"]:
                        assert shown["status"] == "succeeded", (kind, shown)
                        missed += 1
                        break
                    if not step or (shown["step"] or "").endswith(step):
                        since = since or (cluster.ticks() if step else before)
                        if cluster.ticks() > since + 10:
                            break
                if shown["ended_ms"]:
                    continue
                asked = time.monotonic()
                cancelled = subprocess.run([cluster.binary, "--scheduler", cluster.url, "jobs", "cancel", job],
                                           capture_output=True, text=True)
                if cancelled.returncode:
                    # It ended meanwhile.
                    missed += 1
                    continue
                times.append(idle(cluster, asked))
                assert not (cluster.folder / "archive" / "work" / job).exists(), (kind, "leaves its files")
            all_times += times
            where = f"in its step {step}" if step else "early"
            found = f"idle after {statistics.median(times):.2f} s (median), {max(times):.2f} at most" if times else "-"
            late = f", {missed} had ended before" if missed else ""
            print(f"{kind}, {where}: {found}, of {len(times)}{late}", flush=True)
        print(f"all: {statistics.median(all_times):.2f} s (median), {max(all_times):.2f} at most, of {len(all_times)}")
    finally:
        cluster.end()


def many(binary, files):
    cluster = Cluster(binary, 2)
    try:
        mapping, export = cluster.folder / "mapping.toml", cluster.folder / "one.csv"
        mapping.write_text(MAPPING)
        export.write_text("case,event,time\n1,lodge,2024-02-03T08:00Z\n")
        cluster.run("ingest", "releases", "--mapping", str(mapping), str(export))
        table = cluster.folder / "archive" / "releases"
        log = sorted((table / "_delta_log").glob("*.json"))
        actions = [json.loads(line) for path in log for line in path.read_text().splitlines()]
        added = next(action["add"] for action in actions if "add" in action)
        # The same file under other names: the table's log is what is large.
        lines = [json.dumps({"commitInfo": {"timestamp": 0, "operation": "WRITE", "operationParameters": {}}})]
        for file in range(files - 1):
            path = added["path"].replace(".parquet", f"-{file:06}.parquet")
            os.link(table / added["path"], table / path)
            lines.append(json.dumps({"add": {**added, "path": path}}))
        (table / "_delta_log" / f"{int(log[-1].stem) + 1:020}.json").write_text("\n".join(lines) + "\n")
        for query in ["SELECT count(*) AS n FROM releases",
                      "SELECT event, count(*) AS n FROM releases WHERE case_id = '1' GROUP BY event"]:
            begun = time.monotonic()
            answer = cluster.run("archive", "sql", query, there=True)
            assert answer[0]["n"] == files, answer
            print(f"{files} files: {query}: {time.monotonic() - begun:.1f} s", flush=True)
    finally:
        cluster.end()


def child(process):
    """The first process of the namespace that `unshare` has made."""
    while True:
        children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        if children:
            return int(children[0])
        time.sleep(0.01)


def first(binary, _):
    with tempfile.TemporaryDirectory() as folder:
        def start(*arguments):
            words = ["unshare", "--pid", "--fork", "--mount-proc", os.path.abspath(binary), *arguments]
            process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
            return process, process.stderr.readline().strip()

        def scheduler():
            return start("scheduler", "--bind", "127.0.0.1:0", "--archive", f"{folder}/archive")

        def end(what, process):
            begun = time.monotonic()
            os.kill(child(process), signal.SIGTERM)
            status = process.wait(timeout=30)
            print(f"{what} as first process: status {status} after {time.monotonic() - begun:.2f} s", flush=True)

        driver, line = scheduler()
        url = line.split()[-1]
        standby, line = scheduler()
        print(line)
        executor, _ = start("executor", "--scheduler", url, "--port", "0")
        end("a scheduler that waits", standby)
        end("an executor", executor)
        end("a scheduler", driver)
        begun = time.monotonic()
        successor, line = scheduler()
        assert "listens" in line, line
        print(f"its successor listens after {time.monotonic() - begun:.2f} s")
        end("the successor", successor)


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
    modes = {"faults": faults, "begin": begin, "cancel": cancel, "ended": ended, "many": many, "first": first}
    modes[what](binary, int(sys.argv[3]) if len(sys.argv) > 3 else 10_500 if what == "many" else 20)
