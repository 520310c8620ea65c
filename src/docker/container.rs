use std::io;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use serde::Deserialize;
use serde_json::{Value, json};

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
    bytes: BoxStream<'static, Result<Bytes, Error>>,
    lines: Lines,
}

/// The answer to waiting, which comes when the container has ended.
pub type Ending = Pin<Box<dyn Future<Output = Result<Exit, Error>> + Send>>;

impl Client {
    /// Create a container from the engine's own JSON; it does not run yet.
    pub async fn create_container(&self, specification: &Value) -> Result<Container, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Created {
            id: String,
        }
        let created: Created = self.post("/containers/create").json(specification).value().await?;
        Ok(self.container(created.id))
    }

    /// The container `id`, whether it exists or not.
    #[must_use]
    pub fn container(&self, id: impl Into<String>) -> Container {
        Container { client: self.clone(), id: id.into() }
    }

    /// Let a container join the network `name`.
    pub async fn join_network(&self, name: &str, container: &str) -> Result<(), Error> {
        let path: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
        let call = self.post(format!("/networks/{path}/connect"));
        call.json(&json!({ "Container": container })).done().await
    }

    /// Containers that carry all of `labels` (`key=value`), running or not.
    pub async fn containers(&self, labels: &[&str]) -> Result<Vec<Container>, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Listed {
            id: String,
        }
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
    pub async fn inspect(&self) -> Result<Value, Error> {
        let call = self.client.get(format!("/containers/{}/json", self.id));
        call.value().await
    }

    /// Run it.
    pub async fn start(&self) -> Result<(), Error> {
        let call = self.client.post(format!("/containers/{}/start", self.id));
        call.done().await
    }

    /// Its output from now on. Attach before the start, and nothing is missed.
    pub async fn attach(&self) -> Result<Attached, Error> {
        let call = self.client.post(format!("/containers/{}/attach", self.id));
        let call = call.query("stream", "true");
        let call = call.query("stdout", "true").query("stderr", "true");
        Ok(Attached { bytes: call.stream().await?, lines: Lines::default() })
    }

    /// Its end. When this returns the engine watches for it, so a container that is started then
    /// cannot end unnoticed.
    pub async fn watch(&self) -> Result<Ending, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Ended {
            status_code: i64,
            error: Option<Message>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Message {
            message: String,
        }
        let path = format!("/containers/{}/wait", self.id);
        let call = self.client.post(path.clone()).query("condition", "next-exit");
        let answer = call.stream().await?;
        Ok(Box::pin(async move {
            let read = |mut all: Vec<u8>, data: Bytes| async move {
                all.extend_from_slice(&data);
                Ok(all)
            };
            let body = answer.try_fold(Vec::new(), read).await?;
            let ended: Ended =
                serde_json::from_slice(&body).map_err(|source| Error::Answer { path, source })?;
            let error = ended.error.map(|error| error.message);
            Ok(Exit { code: ended.status_code, error: error.filter(|message| !message.is_empty()) })
        }))
    }

    /// Its last `lines` lines so far, oldest first.
    pub async fn tail(&self, lines: usize) -> Result<Vec<String>, Error> {
        let call = self.client.get(format!("/containers/{}/logs", self.id));
        let call = call.query("stdout", "true").query("stderr", "true");
        let output = call.query("tail", lines.to_string()).bytes(TAIL_LIMIT).await?;
        let mut reader = Lines::default();
        let mut read = reader.push(&output);
        read.extend(reader.finish());
        Ok(read)
    }

    /// Make the directory `path` in its root, writable for any user, before it runs.
    pub async fn make_directory(&self, path: &str) -> Result<(), Error> {
        let call = self.client.put(format!("/containers/{}/archive", self.id));
        let call = call.query("path", "/").query("noOverwriteDirNonDir", "true");
        call.archive(directory(path.trim_start_matches('/'))).done().await
    }

    /// Paths in it that are not as its image has them. Takes a tenth of a download.
    pub async fn changed(&self) -> Result<Vec<String>, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Change {
            path: String,
        }
        let call = self.client.get(format!("/containers/{}/changes", self.id));
        let changes: Option<Vec<Change>> = call.value().await?;
        Ok(changes.unwrap_or_default().into_iter().map(|change| change.path).collect())
    }

    /// A directory or file in it, as a tar archive of at most `limit` bytes; none if it does not
    /// exist there.
    pub async fn download(&self, path: &str, limit: usize) -> Result<Option<Bytes>, Error> {
        let call = self.client.get(format!("/containers/{}/archive", self.id));
        match call.query("path", path).bytes(limit).await {
            Ok(archive) => Ok(Some(archive)),
            Err(Error::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// End and remove it with its anonymous volumes; gone already is fine.
    pub async fn remove(&self) -> Result<(), Error> {
        let call = self.client.delete(format!("/containers/{}", self.id));
        match call.query("force", "true").query("v", "true").done().await {
            // 409: somebody else is removing it at this moment.
            Ok(()) | Err(Error::Refused { status: 404 | 409, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// The last lines of a container are asked for as a handful.
const TAIL_LIMIT: usize = 4 << 20;

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
        match self.bytes.next().await {
            Some(Ok(data)) => Some(self.lines.push(&data)),
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
