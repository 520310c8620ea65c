//! The testbed that is measured on, as `scripts/testbed env` names its parts, and how they are asked.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use reqwest::Client;
use verdigris::proxy::{Kind, Settings};

/// The name that the sample service is deployed for.
pub const HOST: &str = "books.example.com";

/// Where everything is.
pub struct Bed {
    /// The repository.
    pub root: PathBuf,
    /// The testbed's directory.
    pub directory: PathBuf,
    pub nginx: IpAddr,
    pub haproxy: IpAddr,
    /// This machine as the testbed sees it.
    pub gateway: IpAddr,
    /// `host:port` of the registry of images.
    pub images: String,
    pub docker_socket: PathBuf,
    /// The authority of the proxies' certificates.
    pub ca: PathBuf,
}

impl Bed {
    /// From the environment that `scripts/bench` sets.
    pub fn from_environment(root: PathBuf) -> Result<Self> {
        Ok(Self {
            root,
            directory: variable("TESTBED_DIR")?.into(),
            nginx: variable("TESTBED_NGINX")?.parse()?,
            haproxy: variable("TESTBED_HAPROXY")?.parse()?,
            gateway: variable("TESTBED_GATEWAY")?.parse()?,
            images: variable("TESTBED_IMAGES")?,
            docker_socket: variable("DOCKER_HOST")?.trim_start_matches("unix://").into(),
            ca: variable("TESTBED_CA")?.into(),
        })
    }

    /// A directory for one measurement.
    pub fn home(&self, name: &str) -> Result<PathBuf> {
        let home = self.directory.join("bench").join(name);
        std::fs::create_dir_all(&home)?;
        Ok(home)
    }

    /// `scripts/testbed` with `arguments`; what it prints.
    pub fn testbed(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new(self.root.join("scripts/testbed")).args(arguments).output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "`scripts/testbed {}`: {errors}", arguments.join(" "));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// The address of a proxy's listeners.
    pub fn address(&self, kind: Kind) -> IpAddr {
        match kind {
            Kind::Nginx => self.nginx,
            Kind::Haproxy => self.haproxy,
        }
    }

    /// The settings of a keeper for the testbed's proxy, with its state in `home`.
    pub fn proxy(&self, kind: Kind, home: &std::path::Path) -> Settings {
        let address = self.address(kind);
        let own = self.directory.join(kind.as_str());
        let at = |port| SocketAddr::new(address, port);
        let nginx = kind == Kind::Nginx;
        let file = |name: &str| own.join(name);
        Settings {
            name: format!("edge-{kind}"),
            kind,
            template: None,
            output: file(if nginx { "nginx.conf" } else { "haproxy.cfg" }),
            flags: nginx.then(|| file("flags")),
            map: (!nginx).then(|| file("hosts.map")),
            check: self.check(kind),
            reload: None,
            pid_file: Some(file(&format!("{kind}.pid"))),
            master_socket: (!nginx).then(|| file("master.sock")),
            runtime_socket: (!nginx).then(|| file("runtime.sock")),
            status: at(9180),
            http: Some(at(80)),
            https: Some(at(443)),
            ca: Some(self.ca.clone()),
            certificates: Some(self.directory.join("certs")),
            user: None,
            state: home.join(kind.as_str()),
        }
    }

    fn check(&self, kind: Kind) -> Vec<String> {
        let mut words = vec![self.directory.join("edge/in-edge").display().to_string()];
        let nginx = format!("{}/", self.directory.join("nginx").display());
        let rest: &[&str] = match kind {
            Kind::Nginx => &["nginx", "-p", &nginx, "-e", "stderr", "-t", "-q", "-c", "{file}"],
            Kind::Haproxy => &["haproxy", "-c", "-f", "{file}"],
        };
        words.extend(rest.iter().map(|word| (*word).to_owned()));
        words
    }

    /// As if nothing had been deployed: whatever the last measurement left in the Swarm and in Consul
    /// is removed.
    pub async fn reset(&self) -> Result<()> {
        let engine = self.engine()?;
        let services: Vec<serde_json::Value> =
            engine.get("http://engine/services").send().await?.json().await?;
        for service in services {
            let id = service["ID"].as_str().unwrap_or_default();
            engine.delete(format!("http://engine/services/{id}")).send().await?;
        }
        self.testbed(&["consul", "wipe"])?;
        Ok(())
    }

    /// A client of the engine.
    pub fn engine(&self) -> Result<Client> {
        let socket = self.docker_socket.clone();
        Ok(Client::builder().tls_certs_only([]).unix_socket(socket).timeout(LONG).build()?)
    }

    /// A client of the public, with a connection per request; `address` answers for [`HOST`].
    pub fn public(&self, address: SocketAddr) -> Result<Client> {
        let ca = reqwest::Certificate::from_pem(&std::fs::read(&self.ca)?)?;
        let builder = Client::builder().tls_certs_only([ca]).resolve(HOST, address);
        Ok(builder.pool_max_idle_per_host(0).no_proxy().timeout(LONG).build()?)
    }
}

const LONG: Duration = Duration::from_secs(60);

fn variable(name: &str) -> Result<String> {
    std::env::var(name).with_context(|| format!("`{name}` is not set: run `scripts/bench`"))
}
