//! The testbed that the tests of single adapters share.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use verdigris::docker::{Client, Settings};
use verdigris::model::{
    DeploymentId, Draft, Gates, ImageRef, PinnedImage, Policy, Publish, Release, Retain, Workload,
};
use verdigris::swarm::DockerSwarm;

use crate::support::bed::{Bed, shared};

/// A testbed that is up.
pub struct Testbed {
    pub docker_host: String,
    pub images: String,
    pub private_images: String,
    pub private_user: String,
    pub private_password: String,
}

impl Testbed {
    /// The one that the tests of single adapters share; none when they are left out.
    pub fn find() -> Option<Self> {
        shared().map(Self::on)
    }

    /// On `bed`.
    pub fn on(bed: &Bed) -> Self {
        let said = |name: &str| bed.env(name).to_owned();
        Self {
            docker_host: said("DOCKER_HOST"),
            images: said("TESTBED_IMAGES"),
            private_images: said("TESTBED_PRIVATE_IMAGES"),
            private_user: said("TESTBED_PRIVATE_USER"),
            private_password: said("TESTBED_PRIVATE_PASSWORD"),
        }
    }

    pub fn settings(&self) -> Settings {
        Settings {
            host: self.docker_host.clone(),
            tls: None,
            docker_config: Some(std::env::temp_dir().join("verdigris-no-docker-config")),
        }
    }

    pub fn client(&self) -> Client {
        Client::new(&self.settings()).unwrap()
    }

    pub fn swarm(&self) -> DockerSwarm {
        DockerSwarm::new(self.client())
    }

    /// A Docker configuration directory with a login to the private registry.
    pub fn login(&self, password: &str) -> tempfile::TempDir {
        let auth = STANDARD.encode(format!("{}:{password}", self.private_user));
        let config = format!(r#"{{"auths":{{"{}":{{"auth":"{auth}"}}}}}}"#, self.private_images);
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("config.json"), config).unwrap();
        directory
    }

    /// The Swarm, with the credentials in `login`.
    pub fn swarm_with(&self, login: &tempfile::TempDir) -> DockerSwarm {
        let settings = Settings { docker_config: Some(login.path().to_owned()), ..self.settings() };
        DockerSwarm::new(Client::new(&settings).unwrap())
    }

    /// Run `docker`, as a person would, and return what it prints.
    pub fn docker(&self, arguments: &[&str]) -> String {
        let output = Command::new("docker")
            .args(["-H", &self.docker_host])
            .args(arguments)
            .output()
            .expect("`docker` is installed");
        assert!(
            output.status.success(),
            "docker {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// An image of nothing but a static busybox, pushed once to each open registry.
    pub fn busybox(&self) -> ImageRef {
        static PUSHED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
        let image = format!("{}/verdigris-test-busybox:1", self.images);
        let mut pushed = PUSHED.lock().unwrap();
        if pushed.insert(image.clone()) {
            self.import_busybox(&image);
            self.docker(&["push", &image]);
        }
        image.parse().unwrap()
    }

    /// Make `image` locally.
    pub fn import_busybox(&self, image: &str) {
        let status = Command::new("sh")
            .arg("-c")
            .arg(
                "set -e; d=$(mktemp -d); trap 'rm -r $d' EXIT; mkdir $d/bin $d/tmp; \
                 cp $(command -v busybox) $d/bin/; ln -s busybox $d/bin/sh; \
                 tar -C $d -c . | docker -H \"$1\" import - \"$2\" >/dev/null",
            )
            .args(["sh", &self.docker_host, image])
            .status()
            .unwrap();
        assert!(status.success(), "`{image}` could not be imported");
    }
}

/// A Swarm service that is removed with everything of it when the test ends, however it ends.
pub struct Scrap<'a>(pub &'a Testbed, pub String);

impl Drop for Scrap<'_> {
    fn drop(&mut self) {
        let _ = Command::new("docker")
            .args(["-H", &self.0.docker_host, "service", "rm", &self.1])
            .output();
    }
}

/// A release of `service` that runs `script` in a busybox shell.
pub fn release(service: &str, image: PinnedImage, script: &str) -> Release {
    let draft = Draft {
        service: service.parse().unwrap(),
        image: image.to_string().parse().unwrap(),
        workload: Workload {
            entrypoint: Some(["/bin/busybox", "sh", "-c", script].map(str::to_owned).into()),
            replicas: 1,
            stop_grace_period: Some(std::time::Duration::from_secs(1)),
            ..Workload::default()
        },
        policy: policy(),
    };
    draft.pin(image)
}

pub fn policy() -> Policy {
    Policy {
        port: 8080,
        publish: Publish::Host,
        route: None,
        gates: Gates::default(),
        stable_for: std::time::Duration::ZERO,
        approve: None,
        bake: None,
        drain: std::time::Duration::ZERO,
        retain: Retain { releases: 0, scale: None, duration: None },
        deadline: std::time::Duration::from_secs(60),
    }
}

pub fn deployment() -> DeploymentId {
    DeploymentId::new()
}
