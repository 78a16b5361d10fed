//! `tidewaiter models`: list, show, promote.

use serde_json::json;
use tidewaiter_archive::Archive;
use tidewaiter_core::{Error, Result};
use tidewaiter_registry::{Registry, Which};

use crate::{
    arguments::{Models, Output},
    output::write,
};

pub(super) async fn run(archive: &Archive, command: Models, output: Output) -> Result<()> {
    let registry = Registry::new(archive);
    match command {
        Models::List { name } => list(&registry, name.as_deref(), output).await,
        Models::Show { model } => {
            let (name, which) = parse(&model)?;
            let manifest = registry.manifest(name, which).await?;
            let document = serde_json::to_value(&manifest)?;
            let text = serde_json::to_string_pretty(&document)?;
            write(output, &document, || vec![text])
        }
        Models::Promote { model } => {
            let (name, which) = parse(&model)?;
            let Which::Version(version) = which else {
                return Err(Error::input(format!("say which version of {name} to promote, as {name}@1")));
            };
            let sequence = registry.champion(name).await?.map_or(0, |champion| champion.sequence);
            let champion = registry.promote(name, version, sequence).await?;
            write(output, &json!({"name": name, "version": champion.version}), || {
                vec![format!("{name}@{} is the champion", champion.version)]
            })
        }
    }
}

async fn list(registry: &Registry, name: Option<&str>, output: Output) -> Result<()> {
    let mut lines = Vec::new();
    let mut documents = Vec::new();
    for manifest in registry.list(name).await? {
        let champion = registry.champion(&manifest.name).await?;
        let champion = champion.is_some_and(|champion| champion.version == manifest.version);
        let mark = if champion { "  champion" } else { "" };
        lines.push(format!("{}@{}{mark}", manifest.name, manifest.version));
        documents.push(json!({
            "name": manifest.name, "version": manifest.version, "champion": champion, "metrics": manifest.facts.metrics
        }));
    }
    write(output, &json!(documents), || lines)
}

/// Splits NAME@VERSION; NAME alone is its champion.
fn parse(model: &str) -> Result<(&str, Which)> {
    let Some((name, version)) = model.split_once('@') else { return Ok((model, Which::Champion)) };
    let version = version.parse().map_err(|_| {
        Error::input(format!("the version in {model:?} is not a number; write it as {name}@1"))
    })?;
    Ok((name, Which::Version(version)))
}
