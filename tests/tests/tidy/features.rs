//! Whether one crate alone is built with the same features of its dependencies as the whole workspace.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

/// A dependency with its version, and the features that it is built with.
type Features = BTreeMap<String, BTreeSet<String>>;

/// The features of everything that is built for the tests of a crate, or of all.
fn features(of: &[&str]) -> Features {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    command.args(["tree", "--offline", "--prefix", "none", "-e", "normal,build,dev", "-f", "{p}|{f}"]);
    let output = command.args(of).output().expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut features = Features::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Some((package, list)) = line.trim_end_matches(" (*)").split_once('|') else { continue };
        // The path of a crate of the workspace is no part of its name.
        let package = package.split(" (").next().unwrap_or_default().to_owned();
        let list = list.split(',').filter(|feature| !feature.is_empty()).map(str::to_owned);
        features.entry(package).or_default().extend(list);
    }
    features
}

#[test]
fn one_crate_is_built_with_the_features_of_the_workspace() {
    let all = features(&["--workspace"]);
    assert!(all.len() > 300, "only {} dependencies were found", all.len());
    for crate_name in ["tidewaiter-core", "tidewaiter-registry", "tidewaiter-fraud", "tidewaiter-scheduler"] {
        let own = features(&["-p", crate_name]);
        let lacking: Vec<String> = own
            .iter()
            .map(|(package, features)| {
                (package, all[package].difference(features).cloned().collect::<Vec<_>>())
            })
            .filter(|(_, lacking)| !lacking.is_empty())
            .map(|(package, lacking)| format!("{package}: {}", lacking.join(", ")))
            .collect();
        assert!(
            lacking.is_empty(),
            "alone, {crate_name} is built with fewer features, so that its dependencies are compiled twice; add to \
             jobs/features/Cargo.toml:\n{}",
            lacking.join("\n")
        );
    }
}
