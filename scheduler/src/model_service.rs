//! The gRPC service over the registry of models. Each method only translates.

use tidewaiter_core::Result as CoreResult;
use tidewaiter_proto::v1;
use tidewaiter_registry::{Manifest, Registry, Which};
use tonic::{Request, Response, Status};

/// Lists, shows and promotes models.
pub(crate) struct Models(pub(crate) Registry);

impl Models {
    async fn message(&self, manifest: Manifest) -> CoreResult<v1::Model> {
        let champion = self.0.champion(&manifest.name).await?;
        Ok(v1::Model {
            champion: champion.is_some_and(|champion| champion.version == manifest.version),
            manifest: serde_json::to_string(&manifest)?,
            name: manifest.name,
            version: manifest.version,
        })
    }
}

#[tonic::async_trait]
impl v1::model_service_server::ModelService for Models {
    async fn list(
        &self,
        request: Request<v1::ListModelsRequest>,
    ) -> Result<Response<v1::ListModelsResponse>, Status> {
        let name = request.into_inner().name;
        let mut models = Vec::new();
        for manifest in self.0.list((!name.is_empty()).then_some(name.as_str())).await? {
            models.push(self.message(manifest).await?);
        }
        Ok(Response::new(v1::ListModelsResponse { models }))
    }

    async fn get(&self, request: Request<v1::GetModelRequest>) -> Result<Response<v1::Model>, Status> {
        let v1::GetModelRequest { name, version } = request.into_inner();
        let which = if version == 0 { Which::Champion } else { Which::Version(version) };
        Ok(Response::new(self.message(self.0.manifest(&name, which).await?).await?))
    }

    async fn promote(&self, request: Request<v1::PromoteRequest>) -> Result<Response<v1::Model>, Status> {
        let v1::PromoteRequest { name, version } = request.into_inner();
        self.0.make_champion(&name, version).await?;
        let manifest = self.0.manifest(&name, Which::Version(version)).await?;
        Ok(Response::new(self.message(manifest).await?))
    }
}
