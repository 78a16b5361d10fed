//! The chart, the modules of Terraform and the alerts, by the tests that lie beside them. Where their tools are not at hand
//! each says `SKIPPED`.
//!
//! TIDEWAITER_HELM_PYTHON names a Python with the packages of helm/tests/requirements.txt (default: `python3`).

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Whether a Python has a module.
fn has(python: &str, module: &str) -> bool {
    Command::new(python)
        .args(["-c", &format!("import {module}")])
        .output()
        .is_ok_and(|output| output.status.success())
}

/// What a program said, which must succeed.
fn said(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "{text}");
    text
}

#[test]
fn the_chart_renders_for_every_example_and_names_options_of_this_program() {
    let python = env::var("TIDEWAITER_HELM_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    if !["helm_python", "kubernetes_validate", "yaml"].iter().all(|module| has(&python, module)) {
        println!("SKIPPED: {python} lacks the packages of helm/tests/requirements.txt");
        return;
    }
    let script = root().join("helm/tests/render.py");
    let output =
        Command::new(python).arg(script).args(["--binary", env!("CARGO_BIN_EXE_tidewaiter")]).output();
    let text = said(&output.expect("starts"));
    assert!(text.trim_end().ends_with(" 0 failed"), "{text}");
}

#[test]
fn the_alerts_come_when_they_should() {
    let output = Command::new(root().join("helm/tests/alerts.sh")).output();
    let text = said(&output.expect("starts"));
    if text.contains("SKIPPED") {
        println!("{text}");
    } else {
        assert!(text.contains("SUCCESS"), "{text}");
    }
}

#[test]
fn the_modules_of_terraform_plan_what_they_say() {
    // Without a folder of providers it would load one from a registry.
    if env::var_os("TIDEWAITER_TF_PLUGINS").is_none() {
        println!(
            "SKIPPED: TIDEWAITER_TF_PLUGINS names no folder with providers, so terraform/ was not tested"
        );
        return;
    }
    let output = Command::new(root().join("terraform/test.sh")).output();
    println!("{}", said(&output.expect("starts")));
}
