use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use bollard::auth::DockerCredentials;
use docker_credential::{CredentialRetrievalError as Failed, DockerCredential};
use hyper::header::HeaderValue;
use serde_json::{Value, json};

use super::Error;

/// Docker Hub goes by this name in Docker configuration files.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// A credential helper that has not answered by then does not.
const PATIENCE: Duration = Duration::from_secs(20);

/// Credentials for registries of images, from the Docker configuration file and the credential
/// helpers that it names. Read anew each time, so a `docker login` counts at once.
#[derive(Debug, Clone)]
pub struct Credentials {
    directory: Option<PathBuf>,
}

/// Credentials for one registry, as an engine wants them. Does not show them.
#[derive(Clone)]
pub struct RegistryAuth(DockerCredentials);

impl Credentials {
    /// From `directory`; none is `DOCKER_CONFIG`, else `~/.docker`.
    #[must_use]
    pub fn new(directory: Option<PathBuf>) -> Self {
        let from_environment = || std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
        let at_home = || std::env::home_dir().map(|home| home.join(".docker"));
        Self { directory: directory.or_else(from_environment).or_else(at_home) }
    }

    /// Those for `registry` (as `ImageRef::registry` names it); none when none are configured.
    pub async fn of(&self, registry: &str) -> Result<Option<RegistryAuth>, Error> {
        let Some(file) = self.directory.as_ref().map(|dir| dir.join("config.json")) else {
            return Ok(None);
        };
        let unusable = |why: String| Error::Credentials {
            registry: registry.to_owned(),
            file: file.clone(),
            why,
        };
        let (path, name) = (file.clone(), registry.to_owned());
        // A credential helper is a process that may take its time.
        let looking = tokio::task::spawn_blocking(move || look_up(&path, &name));
        match tokio::time::timeout(PATIENCE, looking).await {
            Ok(Ok(found)) => found,
            Ok(Err(broken)) => Err(unusable(broken.to_string())),
            Err(_) => {
                let limit = humantime::format_duration(PATIENCE);
                Err(unusable(format!("nothing is heard within {limit}")))
            }
        }
    }
}

impl RegistryAuth {
    pub(super) fn header(&self) -> HeaderValue {
        // The engine decodes the URL-safe alphabet only.
        let encoded = URL_SAFE.encode(json!(self.0).to_string());
        let mut header = HeaderValue::try_from(encoded).expect("base64 is visible ASCII");
        header.set_sensitive(true);
        header
    }

    pub(super) fn into_bollard(self) -> DockerCredentials {
        self.0
    }

    fn new(credential: DockerCredential, server: &str) -> Self {
        let serveraddress = Some(server.to_owned());
        Self(match credential {
            DockerCredential::IdentityToken(token) => DockerCredentials {
                identitytoken: Some(token),
                serveraddress,
                ..Default::default()
            },
            DockerCredential::UsernamePassword(user, password) => DockerCredentials {
                username: Some(user),
                password: Some(password),
                serveraddress,
                ..Default::default()
            },
        })
    }
}

fn look_up(file: &Path, registry: &str) -> Result<Option<RegistryAuth>, Error> {
    let server = if registry == "docker.io" { DOCKER_HUB } else { registry };
    let unusable = |why: String| Error::Credentials {
        registry: registry.to_owned(),
        file: file.to_owned(),
        why,
    };
    let text = match fs::read(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unusable(error.to_string())),
    };
    match docker_credential::get_credential_from_reader(text.as_slice(), server) {
        Ok(credential) => Ok(Some(RegistryAuth::new(credential, server))),
        Err(Failed::NoCredentialConfigured | Failed::ConfigNotFound) => Ok(None),
        Err(Failed::HelperFailure { stdout, stderr, .. })
            if is_unknown(&stdout) || is_unknown(&stderr) =>
        {
            Ok(None)
        }
        // Whatever the helper printed may hold a secret.
        Err(Failed::HelperFailure { helper, .. }) => Err(unusable(format!("`{helper}` failed"))),
        Err(Failed::HelperCommunicationError) => Err(unusable(not_run(&text, server))),
        Err(other) => Err(unusable(other.to_string())),
    }
}

/// The helper that the file names for `server` cannot be run: which one that is.
fn not_run(file: &[u8], server: &str) -> String {
    let file: Value = serde_json::from_slice(file).unwrap_or_default();
    let named = file["credHelpers"][server].as_str().or_else(|| file["credsStore"].as_str());
    let helper = named
        .map_or("the credential helper".to_owned(), |name| format!("`docker-credential-{name}`"));
    format!("{helper} cannot be run: it must be on the daemon's `PATH`")
}

/// What credential helpers answer by their protocol for a registry that they know nothing of.
fn is_unknown(output: &str) -> bool {
    output.contains("credentials not found in native keychain")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn found(config: &Value, registry: &str) -> Option<Value> {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("config.json"), config.to_string()).unwrap();
        let credentials = Credentials::new(Some(directory.path().to_owned()));
        let auth = credentials.of(registry).await.unwrap()?;
        let header = auth.header();
        assert!(header.is_sensitive());
        Some(serde_json::from_slice(&URL_SAFE.decode(header).unwrap()).unwrap())
    }

    #[tokio::test]
    async fn a_login_is_found_by_its_registry_and_no_other() {
        // `me:p?s>` needs the two characters in which the alphabets differ.
        let config = json!({ "auths": { "registry:5000": { "auth": "bWU6cD9zPg==" } } });
        let auth = found(&config, "registry:5000").await.unwrap();
        assert_eq!((&auth["username"], &auth["password"]), (&json!("me"), &json!("p?s>")));
        assert_eq!(found(&config, "other:5000").await, None);
    }

    #[tokio::test]
    async fn docker_hub_is_found_under_its_old_name() {
        let config = json!({ "auths": { DOCKER_HUB: { "auth": "bWU6cHc=" } } });
        assert_eq!(found(&config, "docker.io").await.unwrap()["username"], "me");
    }

    #[tokio::test]
    async fn no_file_is_no_credentials_and_a_broken_one_is_an_error_without_its_content() {
        let directory = tempfile::tempdir().unwrap();
        let credentials = Credentials::new(Some(directory.path().to_owned()));
        assert!(credentials.of("registry:5000").await.unwrap().is_none());
        fs::write(directory.path().join("config.json"), "{ hunter2").unwrap();
        let Err(error) = credentials.of("registry:5000").await else {
            panic!("a broken file was read");
        };
        assert!(!error.to_string().contains("hunter2"), "{error}");
        assert!(error.to_string().contains("config.json"), "{error}");
    }

    #[tokio::test]
    async fn a_helper_that_cannot_be_run_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let credentials = Credentials::new(Some(directory.path().to_owned()));
        let (one, all) = ("registry:5000", "elsewhere:5000");
        let config =
            json!({ "credHelpers": { one: "no-such-safe" }, "credsStore": "no-such-store" });
        fs::write(directory.path().join("config.json"), config.to_string()).unwrap();
        for (registry, name) in [(one, "no-such-safe"), (all, "no-such-store")] {
            let Err(error) = credentials.of(registry).await else { panic!("{name} was run") };
            let told = error.to_string();
            assert!(told.contains(&format!("`docker-credential-{name}` cannot be run")), "{told}");
        }
    }
}
