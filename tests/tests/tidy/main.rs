//! The house rules that a tool can see, over the whole source tree: the length of files, their first line,
//! who depends on whom, circles of imports, and what has no place in the repository.
//!
//! Each rule is a function from a file, or from a crate's files, to its findings and has a test that it finds what it
//! should. A finding names the file, the line and the remedy. What breaks a rule for a reason stands in [`EXCUSED`].

#![allow(clippy::expect_used, reason = "a test stops where it cannot go on")]

mod container;
mod features;
mod imports;
mod source;

use source::{File, tree};

/// Most lines of a source file.
const MOST_LINES: usize = 600;

/// The crates' folders, each allowed to depend on those before it.
const CRATES: [&str; 30] = [
    "proto",
    "jobs/metrics",
    "jobs/traces",
    "jobs/features",
    "jobs/query",
    "jobs/core",
    "jobs/archive",
    "jobs/collective",
    "jobs/job",
    "jobs/declarations",
    "jobs/registry",
    "jobs/learning",
    "jobs/tensors",
    "jobs/linkage",
    "jobs/report",
    "jobs/ingest",
    "jobs/synth",
    "jobs/upkeep",
    "jobs/quality",
    "jobs/release",
    "jobs/fraud",
    "jobs/hs",
    "jobs/xray",
    "jobs/passengers",
    "jobs/catalogue",
    "executor",
    "scheduler/pools",
    "scheduler",
    "cli",
    "tests",
];

/// The crates that are a domain: none depends on another, and servers know none of them.
const DOMAINS: [&str; 6] = ["quality", "release", "fraud", "hs", "xray", "passengers"];

/// Where a file begins, the rule that it may break, and why.
const EXCUSED: &[(&str, Rule, &str)] = &[];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    Length,
    NoDoc,
    ModuleFile,
    CrateDirection,
    Ballista,
    DomainUsed,
    Circle,
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

/// Whether a module with modules of its own is the file `mod.rs` in their folder.
fn module_files_are_of_one_style(files: &[File]) -> Vec<(String, Finding)> {
    let folders: std::collections::BTreeSet<&str> = files
        .iter()
        .filter(|file| file.is_rust())
        .filter_map(|file| Some(file.path.rsplit_once('/')?.0))
        .collect();
    let beside = |file: &&File| file.path.strip_suffix(".rs").is_some_and(|path| folders.contains(path));
    let found = files.iter().filter(beside).map(|file| {
        let text = format!("move it to {}/mod.rs, beside its own modules", file.path.trim_end_matches(".rs"));
        (file.path.clone(), finding(Rule::ModuleFile, 1, text))
    });
    found.collect()
}

/// The dependencies that a Cargo.toml names outside of its tests, with their lines: keys of every table of
/// dependencies, and tables of one dependency.
fn dependencies(manifest: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut inside = false;
    for (number, line) in (1..).zip(manifest.lines()) {
        let line = line.trim();
        if let Some(table) = line.strip_prefix('[') {
            let table = table.trim_end_matches(']');
            inside = table.ends_with("dependencies") && !table.ends_with("dev-dependencies");
            if let Some(name) = table.strip_prefix("dependencies.") {
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
    let place =
        |name: &str| CRATES.iter().position(|known| *known == name || known.rsplit('/').next() == Some(name));
    let order = CRATES.join(" ← ");
    let Some(own) = place(folder) else {
        let text = format!("the crate {folder} has no place in the order {order}");
        return vec![finding(Rule::CrateDirection, 1, text)];
    };
    let own_name = folder.trim_start_matches("jobs/");
    let mut findings = Vec::new();
    for (line, name) in dependencies(&file.text) {
        let sibling = if name == "tidewaiter" { Some("cli") } else { name.strip_prefix("tidewaiter-") };
        if sibling.and_then(place).is_some_and(|other| other >= own) {
            let text = format!("{folder} depends on {name}; the order is {order}: move what both need down");
            findings.push(finding(Rule::CrateDirection, line, text));
        }
        let knows_all = ["catalogue", "cli", "tests"].contains(&own_name);
        let is_domain = sibling.is_some_and(|name| DOMAINS.contains(&name) || name == "catalogue");
        if is_domain && !knows_all {
            let text = format!(
                "{folder} depends on the domain {name}; register what is needed in its `DOMAIN`, or move what both \
                 need to a foundation"
            );
            findings.push(finding(Rule::DomainUsed, line, text));
        }
        if !["executor", "scheduler", "tests"].contains(&folder) && name.starts_with("ballista") {
            let text =
                format!("{folder} depends on {name}; what knows Ballista belongs in executor or scheduler");
            findings.push(finding(Rule::Ballista, line, text));
        }
    }
    findings
}

/// The circles of imports of a crate's modules.
fn imports_run_one_way(files: &[File]) -> Vec<(String, Finding)> {
    let mut findings = Vec::new();
    for folder in CRATES {
        let source = format!("{folder}/src/");
        let own: Vec<&File> = files
            .iter()
            .filter(|file| file.is_rust() && !file.is_test() && file.path.starts_with(&source))
            .collect();
        for circle in imports::circles(&source, &own) {
            let text = format!(
                "modules import each other: {}; move what both need to one of its own",
                circle.join(", ")
            );
            findings.push((circle[0].clone(), finding(Rule::Circle, 1, text)));
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

/// Fails with every finding of a check that is not excused.
fn hold(check: impl Fn(&File) -> Vec<Finding>) {
    hold_all(|files| {
        files
            .iter()
            .flat_map(|file| check(file).into_iter().map(|found| (file.path.clone(), found)))
            .collect()
    });
}

/// Fails with every finding of a check of all files that is not excused.
fn hold_all(check: impl Fn(&[File]) -> Vec<(String, Finding)>) {
    let files = tree();
    assert!(files.iter().any(|file| file.path == "jobs/core/src/lib.rs"), "the tree was not found");
    let mut broken = Vec::new();
    for (path, Finding { rule, line, text }) in check(&files) {
        if !EXCUSED.iter().any(|(start, excused, _)| path.starts_with(start) && *excused == rule) {
            broken.push(format!("{path}:{line}: {text}"));
        }
    }
    assert!(broken.is_empty(), "house rules are broken:\n{}", broken.join("\n"));
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
fn crates_depend_one_way_and_only_servers_know_ballista() {
    hold(|file| if file.path == "fuzz/Cargo.toml" { Vec::new() } else { depends_downwards(file) });
}

#[test]
fn modules_import_one_way() {
    hold_all(imports_run_one_way);
}

#[test]
fn modules_with_modules_of_their_own_are_folders() {
    hold_all(module_files_are_of_one_style);
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
                    tidewaiter-hs.workspace = true\n[dependencies.ballista-core]\nversion = \"55\"\n\
                    [dev-dependencies]\ntidewaiter = \"1\"\n";
    assert_eq!(
        found(depends_downwards, "jobs/fraud/Cargo.toml", manifest),
        [(3, Rule::CrateDirection), (5, Rule::CrateDirection), (5, Rule::DomainUsed), (6, Rule::Ballista)]
    );
    assert_eq!(
        found(depends_downwards, "scheduler/Cargo.toml", "[dependencies]\ntidewaiter-hs = \"1\""),
        [(2, Rule::DomainUsed)]
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
fn circles_are_found_through_groups_parents_and_names_but_not_in_text_or_tests() {
    let circles = |files: &[(&str, &str)]| {
        let files: Vec<File> =
            files.iter().map(|(path, text)| file(&format!("a/src/{path}"), text)).collect();
        imports::circles("a/src/", &files.iter().collect::<Vec<_>>())
    };
    let one_way = [
        ("lib.rs", "mod b;\nmod c;\npub use b::B;\n"),
        ("b.rs", "//! crate::c is only named.\nuse crate::c::C;\nconst T: &str = \"crate::b\";\n"),
        ("c.rs", "pub struct C;\n#[cfg(test)]\nmod tests {\n    use crate::b::B;\n}\n"),
    ];
    assert_eq!(circles(&one_way), [[""; 0]; 0]);
    let grouped = [one_way[0], one_way[1], ("c.rs", "use crate::{\n    other::X,\n    b::{self, B},\n};\n")];
    assert_eq!(circles(&grouped), [["a/src/b.rs", "a/src/c.rs"]]);
    let by_parent = [one_way[0], one_way[1], ("c.rs", "fn f(b: super::B) {}\n")];
    assert_eq!(circles(&by_parent), [["a/src/b.rs", "a/src/c.rs"]]);
    let with_child = [
        ("lib.rs", "mod d;\n"),
        ("d/mod.rs", "mod e;\npub struct D;\nfn f() { e::g(); }\n"),
        ("d/e.rs", "use super::D;\npub fn g() {}\n"),
    ];
    assert_eq!(circles(&with_child), [["a/src/d/e.rs", "a/src/d/mod.rs"]]);
}
