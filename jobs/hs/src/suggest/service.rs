//! The gRPC service of suggestions: answers from the champion, which is cached in memory.
//!
//! An answer comes from the cached model; beside it the champion's pointer is read in the background, so that a new
//! champion answers from the next request on. Only the first request waits for the store. The conversions to and from
//! the wire are here too. Start at [`SuggestionService::suggest`].

use std::sync::Arc;

use tidewaiter_archive::Archive;
use tidewaiter_core::{Result, ResultExt, threads::on_cpu};
use tidewaiter_proto::v1::{
    self,
    hs_service_server::{HsService, HsServiceServer},
};
use tidewaiter_registry::{Registry, Which};
use tokio::sync::{Mutex, RwLock};
use tonic::{Request, Response, Status, service::RoutesBuilder};

use super::suggestion::{Explained, Suggestion, suggest};
use crate::{
    features::attributes::Attributes,
    model::{
        hs_model::HsModel,
        scorer::{Choice, Scorer, SimilarDeclaration},
    },
    parameters::MODEL,
};

/// Answers from the champion of an archive.
#[derive(Debug, Clone)]
pub struct SuggestionService {
    archive: Archive,
    registry: Registry,
    cached: Arc<RwLock<Option<CachedModel>>>,
    /// Locked by the task that reads the champion.
    refreshing: Arc<Mutex<()>>,
}

/// A version of the model in memory.
#[derive(Debug, Clone)]
struct CachedModel {
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

    /// Recommends codes for a description and attributes; also returns the model's version.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](tidewaiter_core::ErrorKind::NotFound) while there is no champion,
    /// [`ErrorKind::Input`](tidewaiter_core::ErrorKind::Input) for a unit value that is not above 0.
    pub async fn suggest(&self, request: v1::HsSuggestRequest) -> Result<(u64, Suggestion)> {
        let cached = self.cached.read().await.clone();
        let cached = match cached {
            Some(cached) => {
                self.refresh_in_background();
                cached
            }
            None => {
                let _refreshing = self.refreshing.lock().await;
                self.refresh().await?
            }
        };
        let CachedModel { version, model } = cached;
        let answer = on_cpu(move || {
            let v1::HsSuggestRequest { description, origin, unit, unit_value } = request;
            let attributes = Attributes::given(Some(&origin), Some(&unit), unit_value)?;
            suggest(&model, &mut Scorer::new(&model, false), &description, &attributes)
        });
        Ok((version, answer.await?))
    }

    /// Reads the champion in a task of its own, unless another task does.
    fn refresh_in_background(&self) {
        let Ok(refreshing) = Arc::clone(&self.refreshing).try_lock_owned() else { return };
        let own = self.clone();
        tokio::spawn(async move {
            if let Err(error) = own.refresh().await {
                tracing::warn!(%error, "the champion cannot be read; the one in memory goes on answering");
            }
            drop(refreshing);
        });
    }

    /// The champion, from the cache where it has not changed.
    async fn refresh(&self) -> Result<CachedModel> {
        let champion = self.registry.champion(MODEL).await?;
        let cached = self.cached.read().await.clone();
        if let (Some(champion), Some(cached)) = (champion, cached)
            && champion.version == cached.version
        {
            return Ok(cached);
        }
        let loaded = self.registry.load(MODEL, Which::Champion).await?;
        let (version, bytes) = (loaded.manifest.version, loaded.model);
        let model = HsModel::load(bytes, &self.archive).await;
        let model = Arc::new(model.context(|| format!("read the model {MODEL}@{version}"))?);
        let cached = CachedModel { version, model };
        *self.cached.write().await = Some(cached.clone());
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
        let (version, suggestion) = self.suggest(request.into_inner()).await?;
        Ok(Response::new(to_wire(version, suggestion)))
    }
}

/// A suggestion as a message.
fn to_wire(version: u64, suggestion: Suggestion) -> v1::HsSuggestion {
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

/// The suggestion of a message, and the version that gave it.
pub(crate) fn from_wire(answer: v1::HsSuggestion) -> (u64, Suggestion) {
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
    (answer.version, suggestion)
}
