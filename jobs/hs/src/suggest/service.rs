//! The gRPC service of suggestions: answers from champions, which are cached in memory.
//!
//! An answer comes from the cached model of the countries that a request names; beside it the champion's pointer is read
//! in the background, so that a new champion answers from the next request on. Only the first request waits for the store. The conversions to and from
//! the wire are here too. Start at [`SuggestionService::suggest`].

use std::{collections::HashMap, sync::Arc};

use tidewaiter_archive::Archive;
use tidewaiter_core::{Result, ResultExt, threads::on_cpu};
use tidewaiter_proto::v1::{
    self,
    hs_service_server::{HsService, HsServiceServer},
};
use tidewaiter_registry::{Registry, Which};
use tokio::sync::{Mutex, RwLock};
use tonic::{Request, Response, Status, service::RoutesBuilder};

use super::{
    model::model_name,
    suggestion::{Explained, Suggestion, suggest},
};
use crate::{
    features::attributes::Attributes,
    model::{
        hs_model::HsModel,
        scorer::{Choice, Scorer, SimilarDeclaration},
    },
};

/// Answers from the champions of an archive.
#[derive(Debug, Clone)]
pub struct SuggestionService {
    archive: Archive,
    registry: Registry,
    /// By the countries that requests name.
    cached: Arc<RwLock<HashMap<String, CachedModel>>>,
    /// Locked by the task that reads a champion.
    refreshing: Arc<Mutex<()>>,
}

/// A version of a model in memory.
#[derive(Debug, Clone)]
struct CachedModel {
    name: String,
    version: u64,
    model: Arc<HsModel>,
}

impl SuggestionService {
    /// A service without a cached model yet.
    pub fn new(archive: &Archive) -> Self {
        Self {
            archive: archive.clone(),
            registry: Registry::new(archive),
            cached: Arc::default(),
            refreshing: Arc::default(),
        }
    }

    /// Recommends codes for a description and attributes; also returns the model's name and version.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](tidewaiter_core::ErrorKind::NotFound) while there is no champion,
    /// [`ErrorKind::Input`](tidewaiter_core::ErrorKind::Input) for a unit value that is not above 0, and for a request
    /// that names no countries where there are several models.
    pub async fn suggest(&self, request: v1::HsSuggestRequest) -> Result<(String, u64, Suggestion)> {
        let cached = self.cached.read().await.get(&request.country).cloned();
        let cached = match cached {
            Some(cached) => {
                self.refresh_in_background(&request.country);
                cached
            }
            None => {
                let _refreshing = self.refreshing.lock().await;
                self.refresh(&request.country).await?
            }
        };
        let CachedModel { name, version, model } = cached;
        let answer = on_cpu(move || {
            let v1::HsSuggestRequest { description, origin, unit, unit_value, .. } = request;
            let attributes = Attributes::given(Some(&origin), Some(&unit), unit_value)?;
            suggest(&model, &mut Scorer::new(&model, false), &description, &attributes)
        });
        Ok((name, version, answer.await?))
    }

    /// Reads the champion in a task of its own, unless another task does.
    fn refresh_in_background(&self, countries: &str) {
        let Ok(refreshing) = Arc::clone(&self.refreshing).try_lock_owned() else { return };
        let (own, countries) = (self.clone(), countries.to_owned());
        tokio::spawn(async move {
            if let Err(error) = own.refresh(&countries).await {
                tracing::warn!(%error, "the champion cannot be read; the one in memory goes on answering");
            }
            drop(refreshing);
        });
    }

    /// The champion, from the cache where it has not changed.
    async fn refresh(&self, countries: &str) -> Result<CachedModel> {
        let name = model_name(&self.registry, countries).await?;
        let champion = self.registry.champion(&name).await?;
        let is_current = |cached: &&CachedModel| {
            cached.name == name && champion.is_some_and(|now| now.version == cached.version)
        };
        // Requests may name the same model in several ways.
        let known = self.cached.read().await.values().find(is_current).cloned();
        let cached = match known {
            Some(cached) => cached,
            None => {
                let loaded = self.registry.load(&name, Which::Champion).await?;
                let (version, bytes) = (loaded.manifest.version, loaded.model);
                let model = HsModel::load(bytes, &self.archive).await;
                let model = Arc::new(model.context(|| format!("read the model {name}@{version}"))?);
                CachedModel { name, version, model }
            }
        };
        self.cached.write().await.insert(countries.to_owned(), cached.clone());
        Ok(cached)
    }
}

/// Adds the gRPC service of suggestions over an archive.
pub(crate) fn add_service(archive: &Archive, routes: &mut RoutesBuilder) {
    routes.add_service(HsServiceServer::new(SuggestionService::new(archive)));
}

#[tonic::async_trait]
impl HsService for SuggestionService {
    async fn suggest(
        &self,
        request: Request<v1::HsSuggestRequest>,
    ) -> std::result::Result<Response<v1::HsSuggestion>, Status> {
        let (name, version, suggestion) = self.suggest(request.into_inner()).await?;
        Ok(Response::new(to_wire(name, version, suggestion)))
    }
}

/// A suggestion as a message.
fn to_wire(model: String, version: u64, suggestion: Suggestion) -> v1::HsSuggestion {
    let choice =
        |Choice { code, probability }: Choice| v1::HsChoice { code, probability, ..v1::HsChoice::default() };
    let explained = |Explained { choice, words, path }: Explained| v1::HsChoice {
        code: choice.code,
        probability: choice.probability,
        words: words.into_iter().map(|(word, adds)| v1::CountingWord { word, adds }).collect(),
        path,
    };
    let similar = |SimilarDeclaration { description, code, similarity }: SimilarDeclaration| {
        v1::SimilarDeclaration { description, code, similarity }
    };
    v1::HsSuggestion {
        model,
        version,
        description: suggestion.description,
        vague: suggestion.vague,
        chapters: suggestion.chapters.into_iter().map(choice).collect(),
        headings: suggestion.headings.into_iter().map(choice).collect(),
        subheadings: suggestion.subheadings.into_iter().map(explained).collect(),
        national: suggestion.national.into_iter().map(choice).collect(),
        similar: suggestion.similar.into_iter().map(similar).collect(),
    }
}

/// The suggestion of a message, and the model that gave it, as `hs-KR@3`.
pub(crate) fn from_wire(answer: v1::HsSuggestion) -> (String, Suggestion) {
    let choice = |v1::HsChoice { code, probability, .. }: v1::HsChoice| Choice { code, probability };
    let explained = |v1::HsChoice { code, probability, words, path }: v1::HsChoice| Explained {
        choice: Choice { code, probability },
        words: words.into_iter().map(|v1::CountingWord { word, adds }| (word, adds)).collect(),
        path,
    };
    let similar = |v1::SimilarDeclaration { description, code, similarity }: v1::SimilarDeclaration| {
        SimilarDeclaration { description, code, similarity }
    };
    let suggestion = Suggestion {
        description: answer.description,
        vague: answer.vague,
        chapters: answer.chapters.into_iter().map(choice).collect(),
        headings: answer.headings.into_iter().map(choice).collect(),
        subheadings: answer.subheadings.into_iter().map(explained).collect(),
        national: answer.national.into_iter().map(choice).collect(),
        similar: answer.similar.into_iter().map(similar).collect(),
    };
    (format!("{}@{}", answer.model, answer.version), suggestion)
}
