use bollard::models::{CreateImageInfo, DistributionInspect, ImageInspect};
use bollard::query_parameters::CreateImageOptions;
use futures_util::{TryStreamExt, future};

use super::{Client, Error, RegistryAuth};
use crate::deploy::ports::{PortError, Trouble};
use crate::model::{ImageRef, PinnedImage};

/// An image cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The registry of images answers that there is none.
    #[error("`{image}` does not exist in the registry of images")]
    Missing {
        /// Which.
        image: String,
        /// What the engine said.
        #[source]
        source: Error,
    },
    /// The registry wants credentials, or others.
    #[error("the registry of images refuses access to `{image}`")]
    Denied {
        /// Which.
        image: String,
        /// The registry.
        registry: String,
        /// Credentials were sent.
        known: bool,
        /// What the engine said.
        #[source]
        source: Error,
    },
    /// The engine does not get through to the registry.
    #[error("the engine cannot reach the registry of images `{registry}`")]
    Cut {
        /// The registry.
        registry: String,
        /// What the engine said.
        #[source]
        source: Error,
    },
    /// Anything else.
    #[error(transparent)]
    Engine(#[from] Error),
}

impl ImageError {
    /// As an error of a port, with the way out.
    #[must_use]
    pub fn during(self, operation: impl Into<String>) -> PortError {
        let (trouble, remedy) = match &self {
            Self::Engine(_) => {
                let Self::Engine(error) = self else {
                    unreachable!("matched above");
                };
                return error.during(operation);
            }
            Self::Missing { image, .. } => (
                Trouble::NotFound,
                format!("push it with `docker push {image}`, or correct name and tag"),
            ),
            Self::Denied { registry, known, .. } if *known => (
                Trouble::Denied,
                format!(
                    "the configured credentials do not suffice: log in again with `docker login {registry}` as the user that runs Verdigris"
                ),
            ),
            Self::Denied { registry, .. } => (
                Trouble::Denied,
                format!("log in with `docker login {registry}` as the user that runs Verdigris"),
            ),
            Self::Cut { registry, .. } => (
                Trouble::Unreachable,
                format!(
                    "see that `{registry}` runs and that the engine's machine reaches it; one without TLS must stand in the engine's `insecure-registries`"
                ),
            ),
        };
        PortError::new(trouble, operation).because(self).remedy(remedy)
    }
}

/// An image that the engine has.
#[derive(Debug, Clone)]
pub struct LocalImage {
    /// Its id, which names nothing else.
    pub id: String,
    digests: Vec<String>,
}

impl LocalImage {
    /// It was built or loaded here, and no registry of images knows it.
    #[must_use]
    pub fn was_never_pushed(&self) -> bool {
        self.digests.is_empty()
    }

    /// It is `image` and no other.
    #[must_use]
    pub fn is(&self, image: &PinnedImage) -> bool {
        self.digests.contains(&image.reference())
    }
}

impl Client {
    /// What the engine has under the name `image`; none if it has nothing.
    pub async fn local_image(&self, image: &ImageRef) -> Result<Option<LocalImage>, Error> {
        self.inspect_image(&image.to_string()).await
    }

    async fn inspect_image(&self, name: &str) -> Result<Option<LocalImage>, Error> {
        match self.get(format!("/images/{name}/json")).value::<ImageInspect>().await {
            Ok(found) => Ok(Some(LocalImage {
                id: found.id.unwrap_or_default(),
                digests: found.repo_digests.unwrap_or_default(),
            })),
            Err(Error::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The digest behind `image`, as its registry of images says.
    pub async fn pin(&self, image: &ImageRef) -> Result<PinnedImage, ImageError> {
        if let Some(digest) = image.digest() {
            let pinned = image.pin(digest);
            // What the engine has needs no registry to be believed: a digest cannot change.
            if !self.has_image(&pinned).await? {
                self.digest(image).await?;
            }
            return Ok(pinned);
        }
        Ok(image.pin(&self.digest(image).await?))
    }

    /// Whether the engine has `image` itself.
    pub async fn has_image(&self, image: &PinnedImage) -> Result<bool, Error> {
        Ok(self.inspect_image(&image.reference()).await?.is_some())
    }

    /// Make the engine fetch `image`.
    pub async fn pull(&self, image: &PinnedImage) -> Result<(), ImageError> {
        let reference: ImageRef = image.reference().parse().map_err(|_| Error::Refused {
            status: 400,
            message: format!("`{image}` is not an image"),
        })?;
        let auth = self.credentials().of(reference.registry()).await?;
        let known = auth.is_some();
        self.fetch(image, auth).await.map_err(|error| explain(error, &reference, known))
    }

    /// The engine answers at once and reports progress; that it failed comes as the last line.
    async fn fetch(&self, image: &PinnedImage, auth: Option<RegistryAuth>) -> Result<(), Error> {
        let options =
            CreateImageOptions { from_image: Some(image.reference()), ..Default::default() };
        let auth = auth.map(RegistryAuth::into_bollard);
        let progress = self.docker().await?.create_image(Some(options), None, auth);
        let fetched = progress.try_for_each(|_: CreateImageInfo| future::ok(())).await;
        fetched.map_err(|error| self.error(error, "/images/create"))
    }

    async fn digest(&self, image: &ImageRef) -> Result<String, ImageError> {
        let auth = self.credentials().of(image.registry()).await?;
        let known = auth.is_some();
        let path = format!("/distribution/{image}/json");
        let asked = self.get(&path).auth(auth).value::<DistributionInspect>().await;
        match asked.map(|answer| answer.descriptor.digest) {
            Ok(Some(digest)) => Ok(digest),
            Ok(None) => Err(Error::Answer { path, source: "it has no digest".into() }.into()),
            Err(error) => Err(explain(error, image, known)),
        }
    }
}

/// The engine passes on what it met with whatever status; its words tell more.
fn explain(error: Error, image: &ImageRef, known: bool) -> ImageError {
    let registry = image.registry().to_owned();
    let message = match &error {
        // The engine itself answers; it is the registry that it waits for.
        Error::Silent { .. } => return ImageError::Cut { registry, source: error },
        Error::Refused { message, .. } => message.to_lowercase(),
        _ => return ImageError::Engine(error),
    };
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if says(&[
        "no basic auth credentials",
        "unauthorized",
        "access denied",
        "authentication required",
        "denied:",
    ]) || matches!(error.status(), Some(401 | 403))
    {
        ImageError::Denied { image: image.to_string(), registry, known, source: error }
    } else if says(&["manifest unknown", "not found", "name unknown", "no such image"])
        || error.status() == Some(404)
    {
        ImageError::Missing { image: image.to_string(), source: error }
    } else if says(&[
        "dial tcp",
        "lookup ",
        "i/o timeout",
        "http response to https client",
        "x509",
        "tls:",
        "connection re",
        "deadline exceeded",
        "eof",
        "server misbehaving",
        "bad gateway",
        "service unavailable",
    ]) {
        ImageError::Cut { registry, source: error }
    } else {
        ImageError::Engine(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words of Engine 20.10 and of a registry of images, as they came.
    #[test]
    fn what_the_engine_says_is_told_apart() {
        let told = |status, message: &str| {
            let error = Error::Refused { status, message: message.to_owned() };
            let image = "registry:5000/books-ms:7".parse().unwrap();
            let error = explain(error, &image, false).during("resolve `registry:5000/books-ms:7`");
            (error.trouble, error.remedy.unwrap_or_default())
        };
        let (trouble, remedy) = told(404, "manifest unknown: manifest unknown");
        assert_eq!(trouble, Trouble::NotFound);
        assert!(remedy.contains("docker push registry:5000/books-ms:7"), "{remedy}");
        for (status, message) in [
            (
                500,
                "Head \"http://registry:5000/v2/books-ms/manifests/7\": no basic auth credentials",
            ),
            (401, "unauthorized: authentication required"),
            (
                404,
                "pull access denied for books-ms, repository does not exist or may require 'docker login': denied: requested access to the resource is denied",
            ),
        ] {
            let (trouble, remedy) = told(status, message);
            assert_eq!(trouble, Trouble::Denied, "{message}");
            assert!(remedy.contains("docker login registry:5000"), "{remedy}");
        }
        for message in [
            "Get \"https://registry:5000/v2/\": dial tcp 10.0.0.1:5000: connect: connection refused",
            "Get \"https://registry:5000/v2/\": http: server gave HTTP response to HTTPS client",
        ] {
            assert_eq!(told(500, message).0, Trouble::Unreachable, "{message}");
        }
        assert_eq!(told(500, "disk full").0, Trouble::Other);
    }
}
