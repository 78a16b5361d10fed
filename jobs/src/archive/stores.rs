//! DataFusion's registry of object stores, answered by the archive's own: any machine that is handed a plan
//! can read its files, with the credentials of its own environment.

use std::sync::Arc;

use datafusion::{error::Result, execution::object_store::ObjectStoreRegistry};
use object_store::ObjectStore;
use url::Url;

use super::location::store_for;

/// Opens the store of a URL when it is first asked for.
#[derive(Debug, Default)]
pub struct Stores;

impl ObjectStoreRegistry for Stores {
    /// Stores are opened by their URL alone; registering one changes nothing.
    fn register_store(&self, _: &Url, _: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        None
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        Ok(store_for(url)?)
    }
}
