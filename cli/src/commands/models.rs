//! `tidewaiter models`: list, show, promote; those of a scheduler's archive where one is named.

use serde_json::json;
use tidewaiter_archive::Archive;
use tidewaiter_core::{Error, Result, ResultExt};
use tidewaiter_job::remote;
use tidewaiter_proto::{
    LARGEST_MESSAGE,
    v1::{self, model_service_client::ModelServiceClient},
};
use tidewaiter_registry::{Manifest, Registry, Which};
use tonic::transport::Channel;

use crate::{
    arguments::{self, Output, Place},
    output::write,
};

pub(super) async fn run(
    archive: &Archive,
    place: &Place,
    command: arguments::Models,
    output: Output,
) -> Result<()> {
    let mut models = match &place.scheduler {
        None => Models::Here(Registry::new(archive)),
        Some(url) => {
            let client = ModelServiceClient::new(remote::connect(url).await?);
            Models::There(client.max_decoding_message_size(LARGEST_MESSAGE))
        }
    };
    match command {
        arguments::Models::List { name } => list(&models.list(name).await?, output),
        arguments::Models::Show { model } => {
            let (name, which) = parse(&model)?;
            let document = serde_json::to_value(models.manifest(name, which).await?)?;
            let text = serde_json::to_string_pretty(&document)?;
            write(output, &document, || vec![text])
        }
        arguments::Models::Promote { model } => {
            let (name, which) = parse(&model)?;
            let Which::Version(version) = which else {
                return Err(Error::input(format!("say which version of {name} to promote, as {name}@1")));
            };
            models.promote(name, version).await?;
            write(output, &json!({"name": name, "version": version}), || {
                vec![format!("{name}@{version} is the champion")]
            })
        }
    }
}

/// The models of an archive.
enum Models {
    /// This process reads the archive.
    Here(Registry),
    /// A scheduler reads its own.
    There(ModelServiceClient<Channel>),
}

/// A model, and whether it is its name's champion.
struct Listed {
    manifest: Manifest,
    champion: bool,
}

impl Models {
    async fn list(&mut self, name: Option<String>) -> Result<Vec<Listed>> {
        let mut models = Vec::new();
        match self {
            Self::Here(registry) => {
                for manifest in registry.list(name.as_deref()).await? {
                    let champion = registry.champion(&manifest.name).await?;
                    let champion = champion.is_some_and(|champion| champion.version == manifest.version);
                    models.push(Listed { manifest, champion });
                }
            }
            Self::There(client) => {
                let request = v1::ListModelsRequest { name: name.unwrap_or_default() };
                for model in client.list(request).await?.into_inner().models {
                    models.push(Listed { manifest: manifest(&model)?, champion: model.champion });
                }
            }
        }
        Ok(models)
    }

    async fn manifest(&mut self, name: &str, which: Which) -> Result<Manifest> {
        match self {
            Self::Here(registry) => registry.manifest(name, which).await,
            Self::There(client) => {
                let version = match which {
                    Which::Champion => 0,
                    Which::Version(version) => version,
                };
                let request = v1::GetModelRequest { name: name.to_owned(), version };
                manifest(client.get(request).await?.get_ref())
            }
        }
    }

    async fn promote(&mut self, name: &str, version: u64) -> Result<()> {
        match self {
            Self::Here(registry) => registry.make_champion(name, version).await.map(drop),
            Self::There(client) => {
                client.promote(v1::PromoteRequest { name: name.to_owned(), version }).await?;
                Ok(())
            }
        }
    }
}

/// The manifest that a scheduler sent.
fn manifest(model: &v1::Model) -> Result<Manifest> {
    serde_json::from_str(&model.manifest)
        .context(|| format!("read the manifest of {}@{}", model.name, model.version))
}

fn list(models: &[Listed], output: Output) -> Result<()> {
    let documents = models.iter().map(|Listed { manifest, champion }| {
        json!({
            "name": manifest.name, "version": manifest.version, "champion": champion,
            "metrics": manifest.facts.metrics
        })
    });
    write(output, &documents.collect(), || {
        let mark = |champion| if champion { "  champion" } else { "" };
        let line = |Listed { manifest, champion }: &Listed| {
            format!("{}@{}{}", manifest.name, manifest.version, mark(*champion))
        };
        match models {
            [] => vec!["no models: `tidewaiter retrain` makes them".to_owned()],
            models => models.iter().map(line).collect(),
        }
    })
}

/// Splits NAME@VERSION; NAME alone is its champion.
fn parse(model: &str) -> Result<(&str, Which)> {
    let Some((name, version)) = model.split_once('@') else { return Ok((model, Which::Champion)) };
    let version = version.parse().map_err(|_| {
        Error::input(format!("the version in {model:?} is not a number; write it as {name}@1"))
    })?;
    Ok((name, Which::Version(version)))
}
