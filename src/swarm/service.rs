//! Swarm services in the engine's own JSON: found, made, changed, removed.

use serde::Deserialize;
use serde_json::Value;

use super::DockerSwarm;
use crate::deploy::ports::Trouble;
use crate::docker::{Error, RegistryAuth};
use crate::model::{ImageRef, labels};

/// A Swarm service: id, version index and spec.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Service {
    #[serde(rename = "ID")]
    pub id: String,
    version: Version,
    pub spec: Value,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Version {
    index: u64,
}

impl Service {
    /// Made by Verdigris.
    pub fn is_ours(&self) -> bool {
        label(&self.spec, labels::MANAGED_BY) == Some(labels::VERDIGRIS)
    }

    pub fn name(&self) -> &str {
        self.spec["Name"].as_str().unwrap_or_default()
    }

    /// What its tasks are made from.
    pub fn template(&self) -> &Value {
        &self.spec["TaskTemplate"]
    }
}

/// A label in a service's spec.
pub fn label<'a>(spec: &'a Value, name: &str) -> Option<&'a str> {
    spec.get("Labels")?.get(name)?.as_str()
}

/// Others write to a Swarm too; one who loses the race this often in a row has a bug.
const ATTEMPTS: usize = 20;

impl DockerSwarm {
    /// The service `name`; none if there is none.
    pub(super) async fn find(&self, name: &str) -> Result<Option<Service>, Error> {
        let found = self.client.get(format!("/services/{name}"));
        match found.value::<Service>().await {
            // The engine takes the beginning of an id for a name, too.
            Ok(service) => Ok((service.name() == name).then_some(service)),
            Err(Error::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All services that Verdigris made.
    pub(super) async fn ours(&self) -> Result<Vec<Service>, Error> {
        let ours = format!("{}={}", labels::MANAGED_BY, labels::VERDIGRIS);
        let call = self.client.get("/services");
        call.filters(&[("label", &[&ours])]).value().await
    }

    /// Make `name` what `decide` makes of what is there; none leaves it alone. Asked again when
    /// somebody else changed the service in between.
    pub(super) async fn put(
        &self,
        name: &str,
        decide: impl Fn(Option<&Service>) -> Option<Value> + Send,
    ) -> Result<(), Error> {
        let mut attempt = 1;
        loop {
            let service = self.find(name).await?;
            let Some(spec) = decide(service.as_ref()) else {
                return Ok(());
            };
            let auth = self.auth_of(&spec).await?;
            let written = match &service {
                Some(service) => self.update(service, &spec, auth).await,
                None => self.create(&spec, auth).await,
            };
            let Err(error) = written else {
                return Ok(());
            };
            let overtaken = match error.trouble() {
                Trouble::Conflict => true,
                Trouble::NotFound => service.is_some(),
                _ => false,
            };
            if !overtaken || attempt == ATTEMPTS {
                return Err(error);
            }
            attempt += 1;
        }
    }

    /// Remove `service`; gone already is fine.
    pub(super) async fn remove(&self, service: &Service) -> Result<(), Error> {
        let call = self.client.delete(format!("/services/{}", service.id));
        match call.done().await {
            Ok(()) | Err(Error::Refused { status: 404, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn create(&self, spec: &Value, auth: Option<RegistryAuth>) -> Result<(), Error> {
        let call = self.client.post("/services/create");
        call.json(spec).auth(auth).done().await
    }

    async fn update(
        &self,
        service: &Service,
        spec: &Value,
        auth: Option<RegistryAuth>,
    ) -> Result<(), Error> {
        let call = self.client.post(format!("/services/{}/update", service.id));
        let call = call.query("version", service.version.index.to_string());
        call.json(spec).auth(auth).done().await
    }

    /// Nodes fetch the image with the credentials that came with the spec.
    async fn auth_of(&self, spec: &Value) -> Result<Option<RegistryAuth>, Error> {
        let image = spec.pointer("/TaskTemplate/ContainerSpec/Image");
        let image = image.and_then(Value::as_str).and_then(|text| text.parse().ok());
        match image {
            Some(image) => {
                let image: ImageRef = image;
                self.client.credentials().of(image.registry()).await
            }
            None => Ok(None),
        }
    }
}
