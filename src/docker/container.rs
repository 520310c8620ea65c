use std::io;
use std::pin::Pin;

use bollard::container::LogOutput;
use bollard::errors::Error as BollardError;
use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, ContainerWaitResponse, NetworkConnectRequest,
};
use bollard::query_parameters::{
    AttachContainerOptions, DownloadFromContainerOptions, RemoveContainerOptions,
    UploadToContainerOptions, WaitContainerOptions,
};
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};

use serde::Deserialize;

use super::{Client, Error, Lines};

/// A container on the engine, by its id.
#[derive(Clone)]
pub struct Container {
    client: Client,
    id: String,
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// Its exit code.
    pub code: i64,
    /// What kept it from ending properly, in the engine's words.
    pub error: Option<String>,
}

/// The output of a container, line by line, from the moment of attaching.
pub struct Attached {
    pieces: BoxStream<'static, Result<LogOutput, BollardError>>,
    lines: Lines,
}

/// The answer to waiting, which comes when the container has ended.
pub type Ending = Pin<Box<dyn Future<Output = Result<Exit, Error>> + Send>>;

/// One of a list of containers, as far as its labels.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Labelled {
    #[serde(default)]
    labels: std::collections::HashMap<String, String>,
}

/// A container in a list.
#[derive(Debug, Deserialize)]
pub(super) struct Listed {
    #[serde(rename = "Id")]
    id: String,
}

/// What a container has that its image has not.
#[derive(Debug, Deserialize)]
pub(super) struct Change {
    #[serde(rename = "Path")]
    path: String,
}

impl Client {
    /// Create a container; it does not run yet.
    pub async fn create_container(
        &self,
        specification: ContainerCreateBody,
    ) -> Result<Container, Error> {
        let created = self.docker().await?.create_container(None, specification);
        Ok(self.container(Box::pin(self.ask("/containers/create", created)).await?.id))
    }

    /// The container `id`, whether it exists or not.
    #[must_use]
    pub fn container(&self, id: impl Into<String>) -> Container {
        Container { client: self.clone(), id: id.into() }
    }

    /// Let a container join the network `name`.
    pub async fn join_network(&self, name: &str, container: &str) -> Result<(), Error> {
        let escaped: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
        let request =
            NetworkConnectRequest { container: container.to_owned(), ..Default::default() };
        let joined = self.docker().await?.connect_network(&escaped, request);
        self.ask(&format!("/networks/{name}/connect"), joined).await
    }

    /// What the label `name` says on containers that carry all of `labels`, running or not.
    pub async fn labelled(&self, labels: &[&str], name: &str) -> Result<Vec<String>, Error> {
        let call = self.get("/containers/json").query("all", "true");
        let listed: Vec<Labelled> = call.filters(&[("label", labels)]).value().await?;
        Ok(listed.into_iter().filter_map(|mut one| one.labels.remove(name)).collect())
    }

    /// Containers that carry all of `labels` (`key=value`), running or not.
    pub async fn containers(&self, labels: &[&str]) -> Result<Vec<Container>, Error> {
        let call = self.get("/containers/json").query("all", "true");
        let listed: Vec<Listed> = call.filters(&[("label", labels)]).value().await?;
        Ok(listed.into_iter().map(|one| self.container(one.id)).collect())
    }
}

impl Container {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What the engine knows of it.
    pub async fn inspect(&self) -> Result<ContainerInspectResponse, Error> {
        self.client.get(self.path("json")).value().await
    }

    /// Run it.
    pub async fn start(&self) -> Result<(), Error> {
        let started = self.client.docker().await?.start_container(&self.id, None);
        self.client.ask(&self.path("start"), started).await
    }

    /// Its output from now on. Attach before the start, and nothing is missed.
    pub async fn attach(&self) -> Result<Attached, Error> {
        let options = AttachContainerOptions {
            stream: true,
            stdout: true,
            stderr: true,
            ..Default::default()
        };
        let attached = self.client.docker().await?.attach_container(&self.id, Some(options));
        let attached = self.client.ask(&self.path("attach"), attached).await?;
        Ok(Attached { pieces: attached.output, lines: Lines::default() })
    }

    /// Its end. When this returns the engine watches for it, so a container that is started then
    /// cannot end unnoticed.
    pub async fn watch(&self) -> Result<Ending, Error> {
        let options = WaitContainerOptions { condition: "next-exit".to_owned() };
        let wait =
            |docker: &bollard::Docker| docker.wait_container(&self.id, Some(options)).map(exit_of);
        let mut ending = self.client.begin("/containers/…/wait", wait).await?;
        let client = self.client.clone();
        Ok(Box::pin(async move {
            let broken = || client.unreachable("it ended the connection before the container");
            ending.next().await.unwrap_or_else(|| Err(broken()))
        }))
    }

    /// Make the directory `path` in its root, writable for any user, before it runs.
    pub async fn make_directory(&self, path: &str) -> Result<(), Error> {
        let options = UploadToContainerOptions {
            path: "/".to_owned(),
            no_overwrite_dir_non_dir: Some("true".to_owned()),
            ..Default::default()
        };
        let archive = bollard::body_full(directory(path.trim_start_matches('/')));
        let docker = self.client.docker().await?;
        let made = docker.upload_to_container(&self.id, Some(options), archive);
        self.client.ask(&self.path("archive"), made).await
    }

    /// Paths in it that are not as its image has them. Takes a tenth of a download.
    pub async fn changed(&self) -> Result<Vec<String>, Error> {
        let changes: Option<Vec<Change>> = self.client.get(self.path("changes")).value().await?;
        Ok(changes.unwrap_or_default().into_iter().map(|change| change.path).collect())
    }

    /// A directory or file in it, as a tar archive of at most `limit` bytes; none if it does not
    /// exist there.
    pub async fn download(&self, path: &str, limit: usize) -> Result<Option<Vec<u8>>, Error> {
        let options = DownloadFromContainerOptions { path: path.to_owned() };
        let pieces = self.client.docker().await?.download_from_container(&self.id, Some(options));
        let asked = self.path("archive");
        let mut pieces = std::pin::pin!(pieces);
        let gathered = async {
            let mut archive = Vec::new();
            while let Some(piece) = pieces.try_next().await? {
                archive.extend_from_slice(&piece);
                if archive.len() > limit {
                    break;
                }
            }
            Ok(archive)
        };
        match self.client.ask(&asked, gathered).await {
            Ok(archive) if archive.len() > limit => Err(Error::TooLarge { path: asked, limit }),
            Ok(archive) => Ok(Some(archive)),
            Err(Error::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// End and remove it with its anonymous volumes; gone already is fine.
    pub async fn remove(&self) -> Result<(), Error> {
        let options = RemoveContainerOptions { force: true, v: true, ..Default::default() };
        let removed = self.client.docker().await?.remove_container(&self.id, Some(options));
        match self.client.ask(&self.path(""), removed).await {
            // 409: somebody else is removing it at this moment.
            Ok(()) | Err(Error::Refused { status: 404 | 409, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn path(&self, what: &str) -> String {
        format!("/containers/{}/{what}", self.id)
    }
}

/// bollard counts an exit code that is not zero as an error.
pub(super) fn exit_of(
    ended: Result<ContainerWaitResponse, BollardError>,
) -> Result<Exit, BollardError> {
    let (code, error) = match ended {
        Ok(ended) => (ended.status_code, ended.error.and_then(|error| error.message)),
        Err(BollardError::DockerContainerWaitError { error, code }) => (code, Some(error)),
        Err(error) => return Err(error),
    };
    Ok(Exit { code, error: error.filter(|message| !message.is_empty()) })
}

/// A tar archive of one empty directory.
fn directory(name: &str) -> Bytes {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_mode(0o1777);
    header.set_size(0);
    let mut archive = tar::Builder::new(Vec::new());
    // Neither can fail in memory, with a name this short.
    let appended = archive.append_data(&mut header, name, io::empty());
    appended.and_then(|()| archive.into_inner()).map(Bytes::from).unwrap_or_default()
}

impl Attached {
    /// The next lines that are complete; none when the output has ended.
    pub async fn next(&mut self) -> Option<Vec<String>> {
        match self.pieces.next().await {
            Some(Ok(piece)) => Some(self.lines.push(&piece)),
            // The connection broke or the container ended: either way nothing more comes.
            Some(Err(_)) | None => None,
        }
    }

    /// Lines that had no end.
    #[must_use]
    pub fn finish(self) -> Vec<String> {
        self.lines.finish()
    }
}
