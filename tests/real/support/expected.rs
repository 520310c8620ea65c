//! What must be so once a release is live, looked up from outside: in Swarm, the registry, the route
//! and through every proxy.

use std::time::{Duration, Instant};

use serde_json::Value;
use verdigris::model::{Colour, Route};

use super::{Picture, Registry, World, curl};

/// What must be so after `colour` was committed, with the other colour gone or kept.
pub struct Expected {
    pub colour: Colour,
    pub edition: &'static str,
    /// The release, where more than the edition tells releases apart.
    pub release: Option<String>,
    /// Swarm services there should be, with their replicas.
    pub services: Vec<(&'static str, u64)>,
    /// Entries in the registry: colour, tag, how many.
    pub entries: Vec<(&'static str, &'static str, usize)>,
}

impl Expected {
    /// `release` of `edition` is live in `colour` with two instances, and `kept` instances of the other
    /// colour are; none: that is gone.
    pub fn after(
        colour: Colour,
        edition: &'static str,
        release: String,
        kept: Option<u64>,
    ) -> Self {
        let (name, other) = (colour.as_str(), colour.other().as_str());
        let service = |colour| if colour == "blue" { "books-ms-blue" } else { "books-ms-green" };
        let mut services = vec![(service(name), 2)];
        services.extend(kept.map(|kept| (service(other), kept)));
        services.sort_unstable();
        let mut entries = vec![(name, "live", 2)];
        if let Some(running) = kept.filter(|kept| *kept > 0) {
            entries.push((other, "idle", usize::try_from(running).unwrap()));
        }
        entries.sort_unstable();
        Self { colour, edition, release: Some(release), services, entries }
    }

    /// Looks everywhere.
    pub async fn holds(&self, world: &World) {
        let picture = self.as_many_run(world).await;
        assert_eq!(services(&picture), self.services, "Swarm services");
        assert_eq!(entries(world, &picture), self.entries, "registry entries");
        assert_eq!(bare_colour(world, &picture), self.colour.to_string());
        assert_eq!(route(world, &picture).live(), Some(self.colour), "the route");
        if let Some(release) = &self.release {
            self.is_everywhere(release, world, &picture);
        }
        let told = world.client().colour(&"books-ms".parse().unwrap()).await.unwrap();
        assert_eq!(told.colour, Some(self.colour));
        for proxy in world.proxy.names() {
            answers(world, proxy, self).await;
        }
    }

    /// Swarm runs `release`, every live entry and the route tell it.
    fn is_everywhere(&self, release: &str, world: &World, picture: &Picture) {
        let spec = picture.part(&format!("service books-ms-{}", self.colour)).unwrap();
        let spec: Value = serde_json::from_str(spec).unwrap();
        assert_eq!(spec["Labels"]["verdigris.release"], release, "Swarm's label");
        let routed = route(world, picture).releases.get(&self.colour).cloned();
        assert_eq!(routed.as_deref(), Some(release), "the route's release");
        let start = match world.registry {
            Registry::Consul | Registry::SecureConsul => "catalog books-ms ",
            Registry::Embedded => "row instances books-ms ",
        };
        let of_it = picture.parts(start).filter(|(_, entry)| entry.contains(release)).count();
        assert_eq!(of_it, 2, "entries of release {release}");
    }

    /// The picture once as many containers run as should: of a colour that is scaled down, they may
    /// still be ending.
    async fn as_many_run(&self, world: &World) -> Picture {
        let replicas: u64 = self.services.iter().map(|(_, count)| count).sum();
        let begun = Instant::now();
        loop {
            let picture = world.picture().await;
            let running = picture.parts("running ").count() as u64;
            if running == replicas {
                return picture;
            }
            let waited = begun.elapsed();
            assert!(waited < Duration::from_secs(20), "{running} containers run, not {replicas}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// The route document as it is on record.
fn route(world: &World, picture: &Picture) -> Route {
    let text = match world.registry {
        Registry::Consul | Registry::SecureConsul => {
            picture.part("key verdigris/services/books-ms/route").unwrap()
        }
        Registry::Embedded => {
            picture.part("row services books-ms").unwrap().split_once('\n').unwrap().1
        }
    };
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn services(picture: &Picture) -> Vec<(&str, u64)> {
    let replicas = |spec: &str| -> u64 {
        let spec: serde_json::Value = serde_json::from_str(spec).unwrap();
        // A spec that scales to zero may leave the number out.
        spec["Mode"]["Replicated"]["Replicas"].as_u64().unwrap_or(0)
    };
    picture.parts("service ").map(|(name, spec)| (name, replicas(spec))).collect()
}

/// Colour, tag and number of the entries, as whoever looks in from outside sees them.
fn entries(world: &World, picture: &Picture) -> Vec<(&'static str, &'static str, usize)> {
    let mut found = Vec::new();
    for colour in ["blue", "green"] {
        for standing in ["live", "idle"] {
            let count = match world.registry {
                Registry::Consul | Registry::SecureConsul => picture
                    .parts("catalog books-ms ")
                    .filter(|(_, entry)| {
                        let entry: serde_json::Value = serde_json::from_str(entry).unwrap();
                        let tags = entry["ServiceTags"].as_array().unwrap().clone();
                        tags.contains(&colour.into()) && tags.contains(&standing.into())
                    })
                    .count(),
                Registry::Embedded => picture
                    .parts("row instances books-ms ")
                    .filter(|(_, row)| {
                        let columns: Vec<&str> = row.lines().collect();
                        columns[2] == colour && columns[3] == standing
                    })
                    .count(),
            };
            if count > 0 {
                found.push((colour, standing, count));
            }
        }
    }
    found
}

fn bare_colour(world: &World, picture: &Picture) -> String {
    match world.registry {
        Registry::Consul | Registry::SecureConsul => {
            picture.part("key verdigris/services/books-ms/colour").unwrap().to_owned()
        }
        Registry::Embedded => {
            let row = picture.part("row services books-ms").unwrap();
            row.lines().next().unwrap().to_owned()
        }
    }
}

/// Both ports of `proxy` are answered by the expected release.
async fn answers(world: &World, proxy: &str, expected: &Expected) {
    let ca = std::fs::read(world.bed.env("TESTBED_CA")).unwrap();
    for (scheme, port) in [("http", 80), ("https", 443)] {
        let address = (world.bed.address(proxy), port).into();
        let http = curl::public(&ca, "books.example.com", address);
        for _ in 0..4 {
            let url = format!("{scheme}://books.example.com/api/v1/books/version");
            let said = curl::json(&http, &url).await;
            assert_eq!(said["edition"], expected.edition, "{proxy}:{port} {said}");
            assert_eq!(said["colour"], expected.colour.to_string(), "{proxy}:{port} {said}");
        }
    }
}
