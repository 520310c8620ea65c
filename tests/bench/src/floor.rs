//! The floor of a deployment and of a switch: the bare acts, one after another, without Verdigris.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::bed::{Bed, HOST};

/// From one look at the engine to the next.
const LOOK: Duration = Duration::from_millis(10);
/// As the deployments that are compared with it.
const STABLE: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(60);

/// What a deployment does, bare.
pub struct Floor<'a> {
    bed: &'a Bed,
    engine: Client,
}

impl<'a> Floor<'a> {
    pub fn new(bed: &'a Bed) -> Result<Self> {
        Ok(Self { bed, engine: bed.engine()? })
    }

    /// One deployment: starts the service `new` from `tag`, removes `old`. Milliseconds.
    pub async fn deployment(&self, tag: &str, new: &str, old: Option<&str>) -> Result<f64> {
        let image = format!("{}/books-ms:{tag}", self.bed.images);
        let begun = Instant::now();
        let found = self.ask(Method::GET, &format!("/distribution/{image}/json"), None).await?;
        let digest = found.pointer("/Descriptor/digest").and_then(Value::as_str);
        let pinned = format!("{image}@{}", digest.context("the engine tells no digest")?);
        self.gate().await?;
        self.ask(Method::POST, "/services/create", Some(spec(new, &pinned))).await?;
        self.await_running(new).await?;
        tokio::time::sleep(STABLE).await;
        self.gate().await?;
        self.reload().await?;
        for scheme in ["http", "https"] {
            self.prove(self.bed.nginx, scheme).await?;
        }
        if let Some(old) = old {
            self.remove(old).await?;
        }
        Ok(begun.elapsed().as_secs_f64() * 1e3)
    }

    /// Remove a service, and wait until none of its containers runs.
    pub async fn remove(&self, name: &str) -> Result<()> {
        let label = format!("com.docker.swarm.service.name={name}");
        let filters = json!({ "label": [label] }).to_string();
        self.ask(Method::DELETE, &format!("/services/{name}"), None).await?;
        self.until(&format!("the containers of `{name}` to end"), async || {
            let path = format!("/containers/json?filters={}", encoded(&filters));
            let running = self.ask(Method::GET, &path, None).await?;
            Ok(running.as_array().is_some_and(Vec::is_empty))
        })
        .await
    }

    /// One test container, to its end.
    async fn gate(&self) -> Result<()> {
        let image = format!("{}/books-ms-tests:1.0", self.bed.images);
        let found = self.ask(Method::GET, &format!("/images/{image}/json"), None).await;
        if found.is_err() {
            let path = format!("/images/create?fromImage={}", encoded(&image));
            self.ask(Method::POST, &path, None).await?;
        }
        let body = json!({ "Image": image, "Env": ["TEST_TYPE=pre-deployment"] });
        let made = self.ask(Method::POST, "/containers/create", Some(body)).await?;
        let id = made["Id"].as_str().context("the engine tells no id")?.to_owned();
        self.ask(Method::POST, &format!("/containers/{id}/start"), None).await?;
        let ended = self.ask(Method::POST, &format!("/containers/{id}/wait"), None).await?;
        self.ask(Method::DELETE, &format!("/containers/{id}?force=true"), None).await?;
        ensure!(ended["StatusCode"] == 0, "the test container ended with {}", ended["StatusCode"]);
        Ok(())
    }

    async fn await_running(&self, name: &str) -> Result<()> {
        let filters = json!({ "service": [name] }).to_string();
        let path = format!("/tasks?filters={}", encoded(&filters));
        self.until(&format!("`{name}` to run"), async || {
            let tasks = self.ask(Method::GET, &path, None).await?;
            let tasks = tasks.as_array().cloned().unwrap_or_default();
            Ok(tasks.iter().any(|task| task["Status"]["State"] == "running"))
        })
        .await
    }

    /// Make nginx read its configuration again; done when no worker from before takes connections.
    async fn reload(&self) -> Result<()> {
        let pid = std::fs::read_to_string(self.bed.directory.join("nginx/nginx.pid"))?;
        let before = workers(pid.trim());
        let status = std::process::Command::new("kill").args(["-HUP", pid.trim()]).status()?;
        ensure!(status.success(), "nginx takes no signal");
        self.until("nginx to take its configuration", async || {
            Ok(before.is_disjoint(&workers(pid.trim())))
        })
        .await
    }

    /// One request of the public with a connection of its own.
    async fn prove(&self, proxy: std::net::IpAddr, scheme: &str) -> Result<()> {
        let port = if scheme == "https" { 443 } else { 80 };
        let client = self.bed.public(SocketAddr::new(proxy, port))?;
        let answer = client.get(format!("{scheme}://{HOST}/api/v1/books")).send().await?;
        ensure!(answer.status().is_success(), "the public gets {}", answer.status());
        answer.bytes().await?;
        Ok(())
    }

    async fn until(&self, what: &str, done: impl AsyncFn() -> Result<bool>) -> Result<()> {
        let begun = Instant::now();
        while !done().await? {
            if begun.elapsed() > LONGEST {
                bail!("waited in vain for {what}");
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        let mut request = self.engine.request(method, format!("http://engine{path}"));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status.is_success(), "{path}: {status}: {text}");
        Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
    }
}

/// The floor of a switch, in milliseconds: one durable write, then in both proxies at once the bare
/// flip of something that nobody uses and one request with a connection of its own.
pub async fn switch(bed: &Bed, home: &Path) -> Result<f64> {
    let nginx = bed.public(SocketAddr::new(bed.nginx, 443))?;
    let haproxy = bed.public(SocketAddr::new(bed.haproxy, 443))?;
    let begun = Instant::now();
    journal(home)?;
    let in_nginx = async {
        let flag = bed.directory.join("nginx/flags/bench-floor.blue");
        std::fs::write(&flag, "")?;
        request(&nginx).await?;
        Ok::<_, anyhow::Error>(flag)
    };
    let in_haproxy = async {
        set_map(bed).await?;
        request(&haproxy).await
    };
    let (flag, ()) = tokio::try_join!(in_nginx, in_haproxy)?;
    let took = begun.elapsed();
    std::fs::remove_file(flag)?;
    Ok(took.as_secs_f64() * 1e3)
}

fn journal(home: &Path) -> Result<()> {
    let mut file = std::fs::File::options().create(true).append(true).open(home.join("floor"))?;
    file.write_all(&[b'x'; 512])?;
    Ok(file.sync_data()?)
}

async fn request(client: &Client) -> Result<()> {
    let answer = client.get(format!("https://{HOST}/api/v1/books")).send().await?;
    ensure!(answer.status().is_success(), "the public gets {}", answer.status());
    answer.bytes().await?;
    Ok(())
}

/// Sets the live colour of the sample service to what it is.
async fn set_map(bed: &Bed) -> Result<()> {
    let map = bed.directory.join("haproxy/hosts.map");
    let text = std::fs::read_to_string(&map)?;
    let line = text.lines().find(|line| line.starts_with("=books-ms "));
    let (key, value) = line.and_then(|line| line.split_once(' ')).context("nothing is live")?;
    let mut socket = UnixStream::connect(bed.directory.join("haproxy/runtime.sock")).await?;
    let command = format!("set map {} {key} {value}\n", map.display());
    socket.write_all(command.as_bytes()).await?;
    let mut said = String::new();
    socket.read_to_string(&mut said).await?;
    ensure!(said.trim().is_empty(), "HAProxy says `{}`", said.trim());
    Ok(())
}

/// nginx' workers that take new connections.
fn workers(master: &str) -> BTreeSet<String> {
    let children = format!("/proc/{master}/task/{master}/children");
    let children = std::fs::read_to_string(children).unwrap_or_default();
    let takes = |pid: &&str| {
        let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        command.contains("worker process") && !command.contains("shutting down")
    };
    children.split_whitespace().filter(takes).map(str::to_owned).collect()
}

fn spec(name: &str, image: &str) -> Value {
    json!({
        "Name": name,
        "TaskTemplate": {
            "ContainerSpec": {
                "Image": image,
                "Healthcheck": {
                    "Test": ["CMD", "/books-ms", "health"],
                    "Interval": 250_000_000_u64, "Timeout": 5_000_000_000_u64, "Retries": 20,
                },
            },
        },
        "Mode": { "Replicated": { "Replicas": 1 } },
        "EndpointSpec": { "Ports": [
            { "Protocol": "tcp", "TargetPort": 8080, "PublishMode": "host" },
        ] },
    })
}

/// For a query: everything but letters and digits as `%XX`.
fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}
