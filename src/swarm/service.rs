//! Swarm services in the engine's own JSON: found, made, changed, removed.

use serde::Deserialize;
use serde_json::Value;

use super::DockerSwarm;
use super::error::SwarmError;
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
}

/// What the tasks of a service with this `spec` are made from.
pub fn template(spec: &Value) -> &Value {
    &spec["TaskTemplate"]
}

/// A label in a service's spec.
pub fn label<'a>(spec: &'a Value, name: &str) -> Option<&'a str> {
    spec.get("Labels")?.get(name)?.as_str()
}

/// What a change does without the credentials for the registry of images, when they cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credentials {
    /// It is not made: the image is new to the nodes.
    Needed,
    /// It is made all the same: the nodes had the image before, and an engine that is sent none keeps
    /// those that it has.
    Helpful,
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

    /// Those of `names` that there are, and perhaps others: the engine takes the beginning of a name, too.
    pub(super) async fn services_named(&self, names: &[&str]) -> Result<Vec<Service>, Error> {
        self.client.get("/services").filters(&[("name", names)]).value().await
    }

    /// All services that Verdigris made.
    pub(super) async fn ours(&self) -> Result<Vec<Service>, Error> {
        let ours = format!("{}={}", labels::MANAGED_BY, labels::VERDIGRIS);
        let call = self.client.get("/services");
        call.filters(&[("label", &[&ours])]).value().await
    }

    /// The service `name`, if it is ours to touch: somebody else's is an error.
    pub(super) async fn find_ours(&self, name: &str) -> Result<Option<Service>, SwarmError> {
        match self.find(name).await? {
            Some(service) if !service.is_ours() => {
                Err(SwarmError::Foreign { name: name.to_owned() })
            }
            found => Ok(found),
        }
    }

    /// Make `name` what `decide` makes of what is there; none leaves it alone. Asked again when
    /// somebody else changed the service in between.
    pub(super) async fn put(
        &self,
        name: &str,
        credentials: Credentials,
        decide: impl Fn(Option<&Service>) -> Option<Value> + Send,
    ) -> Result<(), SwarmError> {
        let mut attempt = 1;
        loop {
            let service = self.find_ours(name).await?;
            let Some(spec) = decide(service.as_ref()) else {
                return Ok(());
            };
            let auth = self.auth_of(&spec, credentials).await?;
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
                return Err(error.into());
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
    async fn auth_of(
        &self,
        spec: &Value,
        credentials: Credentials,
    ) -> Result<Option<RegistryAuth>, Error> {
        let image = spec.pointer("/TaskTemplate/ContainerSpec/Image");
        let image = image.and_then(Value::as_str).and_then(|text| text.parse::<ImageRef>().ok());
        let Some(image) = image else { return Ok(None) };
        match self.client.credentials().of(image.registry()).await {
            Err(error) if credentials == Credentials::Helpful => {
                tracing::warn!(%error, "a Swarm service is changed without credentials");
                Ok(None)
            }
            found => found,
        }
    }
}
