//! The house rules that a tool can see, over the whole source tree: the length of files, their first line,
//! who depends on whom, and what has no place in the repository.
//!
//! Each rule is a function from a file to its findings and has a test that it finds what it should. A
//! finding names the file, the line and the remedy. What breaks a rule for a reason stands in [`EXCUSED`].

#![allow(clippy::expect_used, reason = "a test stops where it cannot go on")]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Most lines of a source file.
const MOST_LINES: usize = 600;

/// The crates' folders, each allowed to depend on those before it.
const CRATES: [&str; 6] = ["proto", "jobs", "executor", "scheduler", "cli", "tests"];

/// The folders of `jobs/src` that are a model or a study of its own, today's and those to come.
const MODELS: [&str; 6] = ["fraud", "hs", "xray", "passengers", "release", "quality"];

/// The folders of `jobs/src` that the models stand on.
const FOUNDATIONS: [&str; 4] = ["archive", "learning", "registry", "report"];

/// Where a file begins, the rule that it may break, and why.
const EXCUSED: &[(&str, Rule, &str)] = &[
    ("jobs/src/fraud/", Rule::ModelUsesJob, "a retrain is told in periods and runs as the steps of its job"),
    ("jobs/src/hs/", Rule::ModelUsesJob, "a retrain is told in periods and runs as the steps of its job"),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    Length,
    NoDoc,
    CrateDirection,
    Ballista,
    ModelUsesModel,
    ModelUsesJob,
    FoundationUsesAbove,
    OpenEnd,
    MachinePath,
}

#[derive(Debug)]
struct Finding {
    rule: Rule,
    line: usize,
    text: String,
}

fn finding(rule: Rule, line: usize, text: impl Into<String>) -> Finding {
    Finding { rule, line, text: text.into() }
}

/// A file by its path from the repository's root, with `/`.
struct File {
    path: String,
    text: String,
}

impl File {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether all of it is compiled for tests only.
    fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }

    /// The folder or file of `jobs/src` that it belongs to.
    fn part_of_jobs(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("jobs/src/")?;
        Some(inside.split_once('/').map_or(inside, |(folder, _)| folder).trim_end_matches(".rs"))
    }
}

fn is_short(file: &File) -> Vec<Finding> {
    let lines = file.text.lines().count();
    if !file.is_rust() || lines <= MOST_LINES {
        return Vec::new();
    }
    let text = format!("{lines} lines; split it by what its parts are, the most is {MOST_LINES}");
    vec![finding(Rule::Length, lines, text)]
}

fn begins_with_its_doc(file: &File) -> Vec<Finding> {
    if !file.is_rust() || file.text.starts_with("//!") {
        return Vec::new();
    }
    vec![finding(Rule::NoDoc, 1, "begin with `//!`: what it is, what it promises, where to start")]
}

/// The dependencies that a Cargo.toml names, with their lines: keys of every table of dependencies, and
/// tables of one dependency.
fn dependencies(manifest: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut inside = false;
    for (number, line) in (1..).zip(manifest.lines()) {
        let line = line.trim();
        if let Some(table) = line.strip_prefix('[') {
            let table = table.trim_end_matches(']');
            inside = table.ends_with("dependencies");
            if let Some((_, name)) = table.split_once("dependencies.") {
                found.push((number, name.trim_matches('"').to_owned()));
            }
        } else if inside && !line.is_empty() && !line.starts_with('#') {
            let name = line.split(['.', '=', ' ']).next().unwrap_or_default();
            found.push((number, name.trim_matches('"').to_owned()));
        }
    }
    found
}

fn depends_downwards(file: &File) -> Vec<Finding> {
    let Some(folder) = file.path.strip_suffix("/Cargo.toml") else { return Vec::new() };
    let place = |name: &str| CRATES.iter().position(|known| *known == name);
    let Some(own) = place(folder) else {
        let text = format!("the crate {folder} has no place in the order {}", CRATES.join(" ← "));
        return vec![finding(Rule::CrateDirection, 1, text)];
    };
    let mut findings = Vec::new();
    for (line, name) in dependencies(&file.text) {
        let sibling = if name == "tidewaiter" { Some("cli") } else { name.strip_prefix("tidewaiter-") };
        if sibling.and_then(place).is_some_and(|other| other >= own) {
            let text = format!(
                "{folder} depends on {name}; the order is {}: move what both need down",
                CRATES.join(" ← ")
            );
            findings.push(finding(Rule::CrateDirection, line, text));
        }
        if ["proto", "jobs"].contains(&folder) && name.starts_with("ballista") {
            let text =
                format!("{folder} depends on {name}; what knows Ballista belongs in executor or scheduler");
            findings.push(finding(Rule::Ballista, line, text));
        }
    }
    findings
}

/// The source with comments and the insides of literals blanked, line ends kept.
fn code_of(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &source.as_bytes()[at..];
        let length = if rest.starts_with(b"//") {
            rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())
        } else if rest.starts_with(b"/*") {
            rest.windows(2).position(|pair| pair == b"*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = raw_literal(rest, at.checked_sub(1).map(|before| bytes[before])) {
            length
        } else if rest[0] == b'"' || (rest[0] == b'\'' && is_character(rest)) {
            literal(rest)
        } else {
            at += 1;
            continue;
        };
        for byte in &mut code[at..at + length] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at += length.max(1);
    }
    String::from_utf8_lossy(&code).into_owned()
}

/// The length of a raw string at the start, unless `r` ends a word there.
fn raw_literal(rest: &[u8], before: Option<u8>) -> Option<usize> {
    if before.is_some_and(|byte| (byte.is_ascii_alphanumeric() && byte != b'b') || byte == b'_') {
        return None;
    }
    let hashes = rest.strip_prefix(b"r")?.iter().take_while(|byte| **byte == b'#').count();
    (rest.get(hashes + 1) == Some(&b'"')).then(|| {
        let close = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
        let inside = &rest[hashes + 2..];
        let end = inside.windows(close.len()).position(|window| window == close);
        end.map_or(rest.len(), |end| hashes + 2 + end + close.len())
    })
}

/// Whether a quote opens a character and not a lifetime.
fn is_character(rest: &[u8]) -> bool {
    match rest.get(1..) {
        Some([b'\\', ..]) => true,
        Some([first, second, ..]) => *second == b'\'' || !first.is_ascii(),
        _ => false,
    }
}

/// The length of a quoted literal.
fn literal(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != rest[0] {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// The parts of the crate that a file of `jobs` names from the crate's root, by `crate::` or by enough
/// `super::`, alone or in a group.
fn parts_used(file: &File) -> Vec<(usize, String)> {
    let code = code_of(&file.text);
    let inside = file.path.strip_prefix("jobs/src/").unwrap_or(&file.path);
    let depth = inside.trim_end_matches("/mod.rs").matches('/').count() + 1;
    let to_root = "super::".repeat(depth);
    let mut used = Vec::new();
    for (start, root) in ["crate::", to_root.as_str()].into_iter().flat_map(|root| code.match_indices(root)) {
        let line_of = |offset: usize| code[..offset].matches('\n').count() + 1;
        let after = start + root.len();
        let word = |from: usize| -> String {
            let letters = code[from..].chars();
            letters.take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
        };
        if !code[after..].starts_with('{') {
            used.push((line_of(start), word(after)));
            continue;
        }
        let mut nested = 0;
        let mut begins = false;
        for (offset, letter) in code[after..].char_indices() {
            match letter {
                '{' => nested += 1,
                '}' => nested -= 1,
                _ => {}
            }
            if nested == 0 {
                break;
            }
            if nested == 1 && (letter == ',' || letter == '{') {
                begins = true;
            } else if begins && !letter.is_whitespace() {
                begins = false;
                used.push((line_of(after + offset), word(after + offset)));
            }
        }
    }
    used
}

fn parts_stand_on_each_other(file: &File) -> Vec<Finding> {
    let Some(own) = file.part_of_jobs().filter(|_| file.is_rust()) else { return Vec::new() };
    let (is_model, is_foundation) = (MODELS.contains(&own), FOUNDATIONS.contains(&own));
    if !is_model && !is_foundation {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (line, part) in parts_used(file) {
        let part = part.as_str();
        if part == own {
            continue;
        }
        if is_foundation && (MODELS.contains(&part) || part == "job") {
            let text = format!("{own} uses {part}, which stands on it; take what it needs as a parameter");
            findings.push(finding(Rule::FoundationUsesAbove, line, text));
        } else if is_model && MODELS.contains(&part) {
            let text =
                format!("{own} uses the model {part}; move what both need to {}", FOUNDATIONS.join(", "));
            findings.push(finding(Rule::ModelUsesModel, line, text));
        } else if is_model && part == "job" {
            let text = format!("{own} uses job, which is made of models; take what it needs as a parameter");
            findings.push(finding(Rule::ModelUsesJob, line, text));
        }
    }
    findings
}

fn leaves_no_open_end(file: &File) -> Vec<Finding> {
    let words = [concat!("TO", "DO"), concat!("FIX", "ME")];
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(file.text.lines()) {
        for word in words {
            let open = line.split(word).skip(1).any(|after| {
                let number = after.strip_prefix("(#").and_then(|after| after.chars().next());
                number.is_none_or(|digit| !digit.is_ascii_digit())
            });
            if open {
                let text = format!("do it, or file an issue and write {word}(#NUMBER)");
                findings.push(finding(Rule::OpenEnd, number, text));
            }
        }
    }
    findings
}

fn names_no_machine(file: &File) -> Vec<Finding> {
    let anywhere = [concat!("/wo", "rk/"), concat!("/ho", "me/"), concat!("/Us", "ers/")];
    let temporary = concat!("/t", "mp/");
    let is_test = file.is_test();
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(file.text.lines()) {
        let place = anywhere.iter().copied().chain((!is_test).then_some(temporary));
        for place in place.filter(|place| line.contains(place)) {
            let text = format!(
                "{place} is one machine's; take the folder as a parameter, or from CARGO_MANIFEST_DIR in a test"
            );
            findings.push(finding(Rule::MachinePath, number, text));
        }
    }
    findings
}

/// The repository's sources and documents.
fn tree() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the root is there");
    let mut files = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the tree") {
            let path: PathBuf = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                // What git ignores, git's own, and data.
                let left_out = ["target", "archive", "bench-data"].contains(&name.as_str())
                    && (folder == root || name == "target");
                if !left_out && name != ".git" {
                    folders.push(path);
                }
            } else if [".rs", ".toml", ".proto", ".md"].iter().any(|ending| name.ends_with(ending)) {
                let inside = path.strip_prefix(&root).expect("it is below the root").to_string_lossy();
                let text = fs::read_to_string(&path).expect("sources are UTF-8");
                files.push(File { path: inside.replace('\\', "/"), text });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// Fails with every finding of a check that is not excused.
fn hold(check: impl Fn(&File) -> Vec<Finding>) {
    let files = tree();
    assert!(files.iter().any(|file| file.path == "jobs/src/lib.rs"), "the tree was not found");
    let mut told = Vec::new();
    for file in &files {
        for Finding { rule, line, text } in check(file) {
            let excused =
                EXCUSED.iter().any(|(start, broken, _)| file.path.starts_with(start) && *broken == rule);
            if !excused {
                told.push(format!("{}:{line}: {text}", file.path));
            }
        }
    }
    assert!(told.is_empty(), "house rules are broken:\n{}", told.join("\n"));
}

#[test]
fn files_are_short() {
    hold(is_short);
}

#[test]
fn module_files_begin_with_what_they_are() {
    hold(begins_with_its_doc);
}

#[test]
fn crates_depend_one_way_and_jobs_does_not_know_ballista() {
    hold(|file| if file.path == "fuzz/Cargo.toml" { Vec::new() } else { depends_downwards(file) });
}

#[test]
fn models_do_not_know_each_other_and_foundations_know_no_model() {
    hold(parts_stand_on_each_other);
}

#[test]
fn open_ends_have_an_issue() {
    hold(leaves_no_open_end);
}

#[test]
fn no_machine_is_named() {
    hold(names_no_machine);
}

fn file(path: &str, text: &str) -> File {
    File { path: path.to_owned(), text: text.to_owned() }
}

/// The lines and rules of what a check finds.
fn found(check: impl Fn(&File) -> Vec<Finding>, path: &str, text: &str) -> Vec<(usize, Rule)> {
    check(&file(path, text)).into_iter().map(|finding| (finding.line, finding.rule)).collect()
}

#[test]
fn each_rule_finds_what_it_forbids_and_nothing_else() {
    assert_eq!(found(is_short, "a/src/b.rs", &"x\n".repeat(601)), [(601, Rule::Length)]);
    assert_eq!(found(is_short, "a/src/b.rs", &"x\n".repeat(600)), []);

    assert_eq!(found(begins_with_its_doc, "a/src/b.rs", "use x;"), [(1, Rule::NoDoc)]);
    assert_eq!(found(begins_with_its_doc, "a/src/b.rs", "//! It."), []);

    let manifest = "[dependencies]\n# why\ntidewaiter-scheduler.workspace = true\narrow = \"59\"\n\
                    [dependencies.ballista-core]\nversion = \"55\"\n[dev-dependencies]\ntidewaiter = \"1\"\n";
    assert_eq!(
        found(depends_downwards, "jobs/Cargo.toml", manifest),
        [(3, Rule::CrateDirection), (5, Rule::Ballista), (8, Rule::CrateDirection)]
    );
    assert_eq!(found(depends_downwards, "tests/Cargo.toml", manifest), []);
    assert_eq!(found(depends_downwards, "other/Cargo.toml", ""), [(1, Rule::CrateDirection)]);

    let (open, filed) = (concat!("// TO", "DO mend"), concat!("// FIX", "ME(#12): mend"));
    assert_eq!(found(leaves_no_open_end, "a/src/b.rs", &format!("{filed}\n{open}")), [(2, Rule::OpenEnd)]);

    let text = concat!("\"/t", "mp/x\"");
    assert_eq!(found(names_no_machine, "a/src/b.rs", text), [(1, Rule::MachinePath)]);
    assert_eq!(found(names_no_machine, "a/src/b/tests.rs", text), []);
}

#[test]
fn imports_are_found_in_groups_and_by_super_but_not_in_text() {
    let grouped = "//! crate::hs is only named.\nuse crate::{\n    Error, archive::{self, hs},\n    quality::Rule,\n};\n\
                   const T: &str = \"crate::xray\"; // crate::release\nlet q = '\"'; let r = r#\"crate::hs\"#;\n\
                   fn f<'a>(x: crate::hs::X<'a>) {}\n";
    assert_eq!(
        found(parts_stand_on_each_other, "jobs/src/fraud/features.rs", grouped),
        [(4, Rule::ModelUsesModel), (8, Rule::ModelUsesModel)]
    );
    let by_super = "use super::super::hs::X;\nuse super::quality::Y;\n";
    assert_eq!(
        found(parts_stand_on_each_other, "jobs/src/fraud/features.rs", by_super),
        [(1, Rule::ModelUsesModel)]
    );
    assert_eq!(
        found(parts_stand_on_each_other, "jobs/src/fraud/mod.rs", "use super::hs;\nuse crate::job::Job;"),
        [(2, Rule::ModelUsesJob), (1, Rule::ModelUsesModel)]
    );
    assert_eq!(
        found(parts_stand_on_each_other, "jobs/src/archive/table.rs", "use crate::{fraud, job::Job};"),
        [(1, Rule::FoundationUsesAbove), (1, Rule::FoundationUsesAbove)]
    );
    assert_eq!(found(parts_stand_on_each_other, "jobs/src/job/mod.rs", "use crate::{fraud, quality};"), []);
}
