//! Suggestions from the champion, which is held in memory for whoever asks often.
//!
//! Nobody waits for the store but who asks first: an answer comes from the model held, and beside it one look
//! goes to the champion's pointer, so that a new champion answers from the next question on. Start at
//! [`Adviser::suggest`]. The wire's form of a suggestion stands here too.

use std::sync::Arc;

use tidewaiter_proto::v1;
use tokio::sync::{Mutex, RwLock};

use super::{
    model::Model,
    particulars::Particulars,
    retrain::MODEL,
    scorer::{Choice, SimilarDeclaration},
    suggest::{Explained, Suggestion, suggest},
};
use crate::{
    Archive, Result, ResultExt,
    registry::{Registry, Which},
    threads::on_cpu,
};

/// Answers from the champion of an archive.
#[derive(Debug, Clone)]
pub struct Adviser {
    archive: Archive,
    registry: Registry,
    held: Arc<RwLock<Option<Held>>>,
    /// Held by whoever looks at the champion.
    turn: Arc<Mutex<()>>,
}

/// A version of the model.
#[derive(Debug, Clone)]
struct Held {
    version: u64,
    model: Arc<Model>,
}

impl Adviser {
    /// An adviser that holds nothing yet.
    pub fn new(archive: &Archive) -> Self {
        Self {
            archive: archive.clone(),
            registry: Registry::new(archive),
            held: Arc::default(),
            turn: Arc::default(),
        }
    }

    /// Recommends codes for a description and what else is known, and says by which version.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] while there is no champion, [`crate::ErrorKind::Input`] for a unit value that is
    /// not above 0.
    pub async fn suggest(&self, request: v1::HsSuggestRequest) -> Result<(u64, Suggestion)> {
        let held = self.held.read().await.clone();
        let held = match held {
            Some(held) => {
                self.look_aside();
                held
            }
            None => {
                let _turn = self.turn.lock().await;
                self.look().await?
            }
        };
        let Held { version, model } = held;
        let answer = on_cpu(move || {
            let v1::HsSuggestRequest { description, origin, unit, unit_value } = request;
            let particulars = Particulars::given(Some(&origin), Some(&unit), unit_value)?;
            suggest(&model, &mut model.scorer(false), &description, &particulars)
        });
        Ok((version, answer.await?))
    }

    /// Looks at the champion without anybody waiting, unless somebody else does.
    fn look_aside(&self) {
        let Ok(turn) = Arc::clone(&self.turn).try_lock_owned() else { return };
        let own = self.clone();
        tokio::spawn(async move {
            if let Err(error) = own.look().await {
                tracing::warn!(%error, "the champion cannot be read; the one in memory goes on answering");
            }
            drop(turn);
        });
    }

    /// Holds the champion, and gives it.
    async fn look(&self) -> Result<Held> {
        let champion = self.registry.champion(MODEL).await?;
        let held = self.held.read().await.clone();
        if let (Some(champion), Some(held)) = (champion, held)
            && champion.version == held.version
        {
            return Ok(held);
        }
        let loaded = self.registry.load(MODEL, Which::Champion).await?;
        let (version, bytes) = (loaded.manifest.version, loaded.model);
        let model = Model::load(bytes, &self.archive).await;
        let model = Arc::new(model.context(|| format!("read the model {MODEL}@{version}"))?);
        let held = Held { version, model };
        *self.held.write().await = Some(held.clone());
        Ok(held)
    }
}

/// A suggestion as it travels.
pub fn to_wire(version: u64, suggestion: Suggestion) -> v1::HsSuggestion {
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

/// A suggestion that has travelled, and the version that gave it.
pub fn from_wire(answer: v1::HsSuggestion) -> (u64, Suggestion) {
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
