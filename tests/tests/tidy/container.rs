//! Whether the Containerfile can build what it says: no image is built in the tests, so it is read.
//!
//! A base is named by digest or by an exact version; what is copied is in the tree and not ignored; every crate of the
//! workspace is there where the program is built; features exist; an image that is the last of its line runs the program
//! that was built, as a user that is not root. Start at [`findings`].

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// An instruction with the number of its first line.
struct Instruction {
    line: usize,
    word: String,
    rest: String,
}

/// A stage: what it is made of, and what is done in it.
struct Stage {
    line: usize,
    base: String,
    name: String,
    instructions: Vec<Instruction>,
}

/// What of the repository an image is built of.
struct Sources {
    /// Whether there is a file or folder of a path.
    is_there: fn(&str) -> bool,
    /// The file that says what is not sent to the builder.
    ignored: String,
    /// The folders of the workspace's crates.
    crates: Vec<String>,
    /// The features of the program.
    features: BTreeSet<String>,
}

/// The instructions of a Containerfile, without comments, lines that go on joined.
fn instructions(text: &str) -> Vec<Instruction> {
    let mut found: Vec<Instruction> = Vec::new();
    let mut goes_on = false;
    for (line, written) in (1..).zip(text.lines().map(str::trim)) {
        if written.is_empty() || written.starts_with('#') {
            continue;
        }
        let (part, more) = match written.strip_suffix('\\') {
            Some(part) => (part.trim_end(), true),
            None => (written, false),
        };
        match found.last_mut().filter(|_| goes_on) {
            Some(begun) => {
                begun.rest.push(' ');
                begun.rest.push_str(part);
            }
            None => {
                let (word, rest) = part.split_once(char::is_whitespace).unwrap_or((part, ""));
                found.push(Instruction { line, word: word.to_uppercase(), rest: rest.trim().to_owned() });
            }
        }
        goes_on = more;
    }
    found
}

/// The stages, with arguments in their bases replaced by their defaults.
fn stages(text: &str) -> Vec<Stage> {
    let mut defaults: BTreeMap<String, String> = BTreeMap::new();
    let mut stages: Vec<Stage> = Vec::new();
    for instruction in instructions(text) {
        match (instruction.word.as_str(), stages.last_mut()) {
            ("FROM", _) => {
                let words: Vec<&str> =
                    instruction.rest.split_whitespace().filter(|word| !word.starts_with("--")).collect();
                let base = words.first().copied().unwrap_or_default();
                let base = defaults.iter().fold(base.to_owned(), |base, (name, value)| {
                    base.replace(&format!("${{{name}}}"), value)
                });
                let name = words.get(2).copied().unwrap_or_default().to_owned();
                stages.push(Stage { line: instruction.line, base, name, instructions: Vec::new() });
            }
            ("ARG", None) => {
                let (name, value) =
                    instruction.rest.split_once('=').unwrap_or((instruction.rest.as_str(), ""));
                defaults.insert(name.to_owned(), value.trim_matches('"').to_owned());
            }
            (_, Some(stage)) => stage.instructions.push(instruction),
            (_, None) => {}
        }
    }
    stages
}

/// The options and the other words of a COPY, the target last.
fn copied(instruction: &Instruction) -> (Option<&str>, Vec<&str>) {
    let mut words: Vec<&str> = instruction.rest.split_whitespace().collect();
    let from = words.iter().find_map(|word| word.strip_prefix("--from="));
    words.retain(|word| !word.starts_with("--"));
    (from, words)
}

/// What is wrong with a Containerfile, with its lines.
fn findings(text: &str, sources: &Sources) -> Vec<(usize, String)> {
    let stages = stages(text);
    let mut found = Vec::new();
    if stages.is_empty() {
        found.push((1, "there is no stage".to_owned()));
    }
    for (number, stage) in stages.iter().enumerate() {
        let before = &stages[..number];
        let is_stage = |name: &str| before.iter().any(|stage| stage.name == name);
        if !is_stage(&stage.base)
            && let Err(wrong) = pinned(&stage.base)
        {
            found.push((stage.line, wrong));
        }
        for instruction in &stage.instructions {
            if instruction.word == "COPY" {
                found.extend(copies(instruction, is_stage, sources).map(|wrong| (instruction.line, wrong)));
            }
            if instruction.word == "RUN" && instruction.rest.contains("cargo ") {
                found.extend(built(instruction, stage, sources).map(|wrong| (instruction.line, wrong)));
            }
        }
        let is_used = stages[number + 1..].iter().any(|later| {
            let copies = later.instructions.iter().filter(|instruction| instruction.word == "COPY");
            later.base == stage.name || copies.map(copied).any(|(from, _)| from == Some(stage.name.as_str()))
        });
        if !is_used {
            found.extend(runs(stage, before).map(|wrong| (stage.line, wrong)));
        }
    }
    found
}

/// Whether a base is named so that another build gets the same.
fn pinned(base: &str) -> Result<(), String> {
    if let Some((_, digest)) = base.split_once('@') {
        let is_whole = digest.strip_prefix("sha256:").is_some_and(|hex| {
            hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        });
        return if is_whole { Ok(()) } else { Err(format!("{base} has no whole digest")) };
    }
    let name = base.rsplit('/').next().unwrap_or_default();
    let tag = name.split_once(':').map(|(_, tag)| tag).unwrap_or_default();
    let version = tag.split('-').next().unwrap_or_default();
    let numbers: Vec<&str> = version.split('.').collect();
    let is_number = |number: &&str| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    if numbers.len() >= 2 && numbers.iter().all(is_number) {
        return Ok(());
    }
    Err(format!("{base} is another image from time to time; name it by digest, or by an exact version"))
}

/// What is wrong with a COPY.
fn copies(
    instruction: &Instruction,
    is_stage: impl Fn(&str) -> bool,
    sources: &Sources,
) -> impl Iterator<Item = String> {
    let (from, mut words) = copied(instruction);
    let mut wrong = Vec::new();
    if words.len() < 2 {
        wrong.push("COPY needs what and where".to_owned());
    }
    words.pop();
    match from {
        Some(stage) if !is_stage(stage) => wrong.push(format!("no stage before this one is {stage}")),
        Some(_) => {}
        None => wrong.extend(words.iter().filter_map(|path| {
            if !(sources.is_there)(path) {
                return Some(format!("{path} is not in the tree"));
            }
            (*path != "." && is_ignored(path, &sources.ignored))
                .then(|| format!("{path} is left out by .dockerignore"))
        })),
    }
    wrong.into_iter()
}

/// Whether a path is not sent to the builder, where everything is ignored but what is named.
fn is_ignored(path: &str, ignored: &str) -> bool {
    let lines: Vec<&str> = ignored.lines().map(str::trim).collect();
    let parts = |named: &str| path == named || path.starts_with(&format!("{named}/"));
    lines.contains(&"*") && !lines.iter().filter_map(|line| line.strip_prefix('!')).any(parts)
}

/// What is wrong with a call of cargo.
fn built(instruction: &Instruction, stage: &Stage, sources: &Sources) -> impl Iterator<Item = String> {
    let mut wrong = Vec::new();
    let is_build = instruction.rest.contains("cargo build");
    if (is_build || instruction.rest.contains("cargo install")) && !instruction.rest.contains("--locked") {
        wrong.push("cargo without --locked takes other versions than those of Cargo.lock".to_owned());
    }
    let before = stage.instructions.iter().take_while(|other| other.line < instruction.line);
    let sent: Vec<&str> = before
        .filter(|other| other.word == "COPY")
        .map(copied)
        .filter(|(from, _)| from.is_none())
        .flat_map(|(_, mut words)| {
            words.pop();
            words
        })
        .collect();
    if is_build {
        let is_sent = |folder: &str| {
            let is_copied = sent.iter().any(|path| {
                *path == "."
                    || folder == *path
                    || folder.starts_with(&format!("{}/", path.trim_end_matches('/')))
            });
            is_copied && !is_ignored(folder, &sources.ignored)
        };
        let lacking = sources.crates.iter().filter(|folder| !is_sent(folder));
        wrong.extend(
            lacking.map(|folder| format!("the crate {folder} is not there when the program is built")),
        );
    }
    let features =
        instruction.rest.split("--features").nth(1).unwrap_or_default().trim_start_matches(['=', ' ']);
    let features = match features.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next().unwrap_or_default(),
        None => features.split_whitespace().next().unwrap_or_default(),
    };
    let given = features.split([',', ' ']).filter(|feature| !feature.is_empty() && !feature.starts_with('$'));
    wrong.extend(
        given
            .filter(|feature| !sources.features.contains(*feature))
            .map(|feature| format!("the program has no feature {feature}")),
    );
    wrong.into_iter()
}

/// What is wrong with an image that somebody runs.
fn runs(stage: &Stage, before: &[Stage]) -> impl Iterator<Item = String> {
    let last = |word: &str| stage.instructions.iter().rfind(|instruction| instruction.word == word);
    let mut wrong = Vec::new();
    let user = last("USER").map_or("", |user| user.rest.as_str());
    let is_number = |id: &str| id.parse::<u32>().is_ok_and(|id| id > 0);
    if !user.split(':').all(is_number) {
        wrong.push(format!("it runs as {user:?}; name a user that is not root by its number"));
    }
    let entry = last("ENTRYPOINT").map_or("", |entry| entry.rest.as_str());
    let words: Vec<String> = serde_json::from_str(entry).unwrap_or_default();
    let program = words.first().map_or("", String::as_str);
    let copies = stage.instructions.iter().filter(|instruction| instruction.word == "COPY").map(copied);
    let is_built = copies.filter(|(_, words)| words.last() == Some(&program)).any(|(from, words)| {
        let of_stage = before.iter().find(|stage| from == Some(stage.name.as_str()));
        of_stage.is_some_and(|built| words.first() == Some(&built_program(built).as_str()))
    });
    if !is_built {
        wrong.push(format!(
            "its ENTRYPOINT {entry:?} is not, as [\"/PATH\"], the program that a stage before it built"
        ));
    }
    wrong.into_iter()
}

/// Where a stage has the program that it builds.
fn built_program(stage: &Stage) -> String {
    let folder = stage.instructions.iter().rfind(|instruction| instruction.word == "WORKDIR");
    let folder = folder.map_or("", |folder| folder.rest.as_str());
    format!("{folder}/target/release/tidewaiter")
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The names of a table of a manifest, up to the next one.
fn names(manifest: &str, table: &str) -> BTreeSet<String> {
    let lines = manifest.lines().skip_while(|line| line.trim() != table).skip(1);
    let own = lines.take_while(|line| !line.starts_with('['));
    own.filter_map(|line| Some(line.split_once('=')?.0.trim().to_owned()))
        .filter(|name| !name.starts_with('#'))
        .collect()
}

#[test]
fn the_containerfile_builds_the_program_of_this_tree() {
    let sources = Sources {
        is_there: |path| root().join(path).exists(),
        ignored: read(".dockerignore"),
        crates: crate::CRATES.iter().map(|folder| (*folder).to_owned()).collect(),
        features: names(&read("cli/Cargo.toml"), "[features]"),
    };
    assert!(sources.features.contains("cuda"), "{:?}", sources.features);
    let text = read("Containerfile");
    assert_eq!(findings(&text, &sources), []);
    let toolchain = read("rust-toolchain.toml");
    let version = toolchain.lines().find_map(|line| line.strip_prefix("channel = ")).expect("a channel");
    let rust = format!("ARG RUST=rust:{}-", version.trim_matches('"'));
    assert!(text.contains(&rust), "the builder has another version than rust-toolchain.toml: {rust}");
}

/// A Containerfile with nothing wrong.
const RIGHT: &str = "# It.
ARG BASE=debian:12.11-slim
FROM rust:1.95.0-bookworm AS build
ARG FEATURES=\"\"
WORKDIR /build
COPY . .
# Between two lines of one instruction.
RUN cargo build --locked \\
    # as a comment may be
    --features \"cuda,${FEATURES}\"
FROM ${BASE} AS run
COPY LICENSE /LICENSE
COPY --from=build /build/target/release/tidewaiter /bin/tidewaiter
USER 65532:65532
ENTRYPOINT [\"/bin/tidewaiter\"]
";

#[test]
fn each_thing_that_is_wrong_with_a_containerfile_is_found() {
    let sources = Sources {
        is_there: |path| [".", "cli", "jobs", "LICENSE", "NOTES"].contains(&path),
        ignored: "*\n!cli\n!jobs\n!LICENSE\n".to_owned(),
        crates: vec!["cli".to_owned(), "jobs/core".to_owned()],
        features: BTreeSet::from(["cuda".to_owned()]),
    };
    assert_eq!(findings(RIGHT, &sources), []);
    let digest = format!("debian@sha256:{}", "0a".repeat(32));
    assert_eq!(findings(&RIGHT.replace("debian:12.11-slim", &digest), &sources), []);
    assert_eq!(findings(&RIGHT.replace("COPY . .", "COPY cli cli\nCOPY jobs jobs"), &sources), []);
    for (right, wrong, line, says) in [
        ("rust:1.95.0-bookworm", "rust:latest", 3, "rust:latest is another image"),
        ("rust:1.95.0-bookworm", "rust", 3, "rust is another image"),
        ("rust:1.95.0-bookworm", "registry:5000/rust", 3, "is another image"),
        ("debian:12.11-slim", "debian:12-slim", 11, "debian:12-slim is another image"),
        ("debian:12.11-slim", "debian@sha256:0a", 11, "no whole digest"),
        ("FROM ${BASE}", "FROM ${BAES}", 11, "${BAES} is another image"),
        ("COPY LICENSE", "COPY LICENCE", 12, "LICENCE is not in the tree"),
        ("COPY LICENSE", "COPY NOTES", 12, "NOTES is left out by .dockerignore"),
        ("COPY LICENSE /LICENSE", "COPY LICENSE", 12, "what and where"),
        ("--from=build", "--from=builder", 13, "no stage before this one is builder"),
        ("COPY . .", "COPY cli cli", 8, "the crate jobs/core is not there"),
        ("COPY . .", "", 8, "the crate cli is not there"),
        ("--locked", "--release", 8, "without --locked"),
        ("cuda,$", "cuda,tpu,$", 8, "no feature tpu"),
        ("USER 65532:65532", "USER 0", 11, "it runs as \"0\""),
        ("USER 65532:65532", "USER 65532\nUSER root", 11, "it runs as \"root\""),
        ("USER 65532:65532", "", 11, "it runs as \"\""),
        ("[\"/bin/tidewaiter\"]", "/bin/tidewaiter", 11, "ENTRYPOINT"),
        ("[\"/bin/tidewaiter\"]", "[\"/bin/sh\"]", 11, "ENTRYPOINT"),
        ("/build/target/release", "/target/release", 11, "ENTRYPOINT"),
        ("WORKDIR /build", "WORKDIR /src", 11, "ENTRYPOINT"),
    ] {
        let broken = RIGHT.replace(right, wrong);
        assert_ne!(broken, RIGHT, "{right}");
        let found = findings(&broken, &sources);
        assert!(
            found.iter().any(|(at, text)| *at == line && text.contains(says)),
            "{right} → {wrong}: {found:?}"
        );
    }
    assert_eq!(findings("# nothing\n", &sources), [(1, "there is no stage".to_owned())]);
}
