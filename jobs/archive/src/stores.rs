//! The object stores that DataFusion finds by their URL when it runs a plan.
//!
//! Any process that is given a plan can read its files, with the credentials of its own environment. What is absent: a
//! list of registered stores; a store is opened when a plan first needs it.

use std::sync::Arc;

use datafusion::{error::Result, execution::object_store::ObjectStoreRegistry};
use object_store::ObjectStore;
use url::Url;

use crate::location::store_for;

/// The registry: it opens a store by its URL alone.
#[derive(Debug, Default)]
pub struct Stores;

impl ObjectStoreRegistry for Stores {
    /// Does nothing: [`Stores::get_store`] needs no registration.
    fn register_store(&self, _: &Url, _: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        None
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        Ok(store_for(url)?)
    }
}
