//! Processes of the built binary that a test starts, watches and ends.

#![allow(clippy::disallowed_methods, reason = "polls with a deadline")]

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// A retrain that takes long enough to be disturbed.
pub(crate) const RETRAIN: [&str; 16] = [
    "retrain",
    "fraud",
    "--country",
    "TW",
    "--train",
    "2020-01..2020-08",
    "--valid",
    "2020-09",
    "--test",
    "2020-10..2020-11",
    "--trees",
    "60",
    "--shards",
    "4",
    "--learning-rate",
    "0.02",
];

/// A process that ends with the test.
pub(crate) struct Process(pub(crate) Child);

impl Process {
    /// Its processor time so far, in hundredths of a second.
    pub(crate) fn ticks(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).expect("it runs");
        // The name may have spaces; what follows it does not.
        let fields = status.rsplit(')').next().expect("fields").split_whitespace();
        fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
    }

    /// Whether it computes nothing, for half a second within the given time; an idle server asks for work now and then.
    pub(crate) fn is_idle(&self, within: Duration) -> bool {
        let begin = Instant::now();
        let mut before = self.ticks();
        while begin.elapsed() < within {
            pause(Duration::from_millis(500));
            let now = self.ticks();
            if now - before < 12 {
                return true;
            }
            before = now;
        }
        false
    }

    /// Sends it what Ctrl-C sends.
    pub(crate) fn interrupt(&self) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().expect("kill starts").success());
    }

    /// Its exit status, which must come soon.
    pub(crate) fn ended(&mut self, within: Duration) -> ExitStatus {
        let begin = Instant::now();
        while begin.elapsed() < within {
            if let Some(status) = self.0.try_wait().expect("it is a child") {
                return status;
            }
            pause(Duration::from_millis(50));
        }
        panic!("the process goes on {within:?} after its end");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Lets others work between two looks at them.
pub(crate) fn pause(length: Duration) {
    std::thread::sleep(length);
}

/// A process, its stderr, and the first line that it writes there.
pub(crate) fn started(command: &mut Command) -> (Process, BufReader<ChildStderr>, String) {
    let mut child = command.stderr(Stdio::piped()).spawn().expect("starts");
    let mut stderr = BufReader::new(child.stderr.take().expect("it is piped"));
    let mut line = String::new();
    stderr.read_line(&mut line).expect("it says where it listens");
    (Process(child), stderr, line.trim().to_owned())
}
