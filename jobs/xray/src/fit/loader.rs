//! Loads a detector's shards from the files of squares.

use serde::{Deserialize, Serialize};
use tidewaiter_archive::Archive;
use tidewaiter_collective::{Shard, ShardLoader};
use tidewaiter_core::{Error, Result};

use super::{examples::Examples, parameters::Parameters, shard::DetectorShard};
use crate::model::network::Extents;

/// The learner's name in a fit's task.
pub const LEARNER: &str = "xray";

/// How shards are made of the files of squares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// The paths of each shard's files.
    pub files: Vec<Vec<String>>,
    /// How the detector is trained.
    pub parameters: Parameters,
    /// The extents of the network.
    pub extents: Extents,
}

/// Loads shards.
#[derive(Debug)]
pub struct DetectorShards {
    archive: Archive,
    layout: Layout,
}

impl DetectorShards {
    /// A loader of a layout's shards.
    pub fn new(archive: Archive, layout: Layout) -> Self {
        Self { archive, layout }
    }
}

#[async_trait::async_trait]
impl ShardLoader for DetectorShards {
    async fn load(&self, shard: u32) -> Result<Box<dyn Shard>> {
        let Layout { files, parameters, extents } = self.layout.clone();
        let files = files.get(shard as usize);
        let files = files.ok_or_else(|| Error::internal(format!("the fit has no shard {shard}")))?;
        let examples = Examples::load(&self.archive, files, parameters.side).await?;
        Ok(Box::new(DetectorShard::new(shard, parameters, extents, examples)?))
    }
}
