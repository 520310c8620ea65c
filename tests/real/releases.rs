//! Blue, green, blue again: what is registered, routed and running at each stage, under load.

use std::time::{Duration, Instant};

use verdigris::model::Colour;

use crate::support::{Picture, Proxy, Registry, Traffic, World, curl};

/// What must be so after `colour` was committed, with the other colour gone or kept.
struct Expected {
    colour: Colour,
    edition: &'static str,
    /// Swarm services there should be, with their replicas.
    services: Vec<(&'static str, u64)>,
    /// Entries in the registry: colour, tag, how many.
    entries: Vec<(&'static str, &'static str, usize)>,
}

async fn blue_green_blue(registry: Registry, proxy: Proxy) {
    let Some(world) = World::with_first(registry, proxy).await else { return };
    let first = Expected {
        colour: Colour::Blue,
        edition: "1.0",
        services: vec![("books-ms-blue", 2)],
        entries: vec![("blue", "live", 2)],
    };
    check(&world, &first).await;

    let traffic = Traffic::start(&world, "books-ms");
    let kept = world.books("2.0").asking("retain", serde_json::json!({ "scale": 0 }));
    world.deploy(&kept).await.committed();
    let second = Expected {
        colour: Colour::Green,
        edition: "2.0",
        services: vec![("books-ms-blue", 0), ("books-ms-green", 2)],
        entries: vec![("green", "live", 2)],
    };
    check(&world, &second).await;

    world.deploy(&world.books("3.0")).await.committed();
    let third = Expected {
        colour: Colour::Blue,
        edition: "3.0",
        services: vec![("books-ms-blue", 2)],
        entries: vec![("blue", "live", 2)],
    };
    check(&world, &third).await;
    traffic.end(&format!("{registry:?} {proxy:?}")).await;
}

async fn check(world: &World, expected: &Expected) {
    let picture = two_run(world).await;
    assert_eq!(services(&picture), expected.services, "Swarm services");
    assert_eq!(entries(world, &picture), expected.entries, "registry entries");
    assert_eq!(bare_colour(world, &picture), expected.colour.to_string());
    let told = world.client().colour(&"books-ms".parse().unwrap()).await.unwrap();
    assert_eq!(told.colour, Some(expected.colour));
    for proxy in world.proxy.names() {
        answers(world, proxy, expected).await;
    }
}

fn services(picture: &Picture) -> Vec<(&str, u64)> {
    let replicas = |spec: &str| -> u64 {
        let spec: serde_json::Value = serde_json::from_str(spec).unwrap();
        // A spec that scales to zero may leave the number out.
        spec["Mode"]["Replicated"]["Replicas"].as_u64().unwrap_or(0)
    };
    picture.parts("service ").map(|(name, spec)| (name, replicas(spec))).collect()
}

/// The picture once two containers run: of a colour that is scaled down, they may still be ending.
async fn two_run(world: &World) -> Picture {
    let begun = Instant::now();
    loop {
        let picture = world.picture().await;
        let running = picture.parts("running ").count();
        if running == 2 {
            return picture;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{running} containers run, not 2");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
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

#[tokio::test(flavor = "multi_thread")]
async fn over_nginx_and_the_embedded_registry() {
    blue_green_blue(Registry::Embedded, Proxy::Nginx).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_haproxy_and_the_embedded_registry() {
    blue_green_blue(Registry::Embedded, Proxy::Haproxy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_both_proxies_and_the_embedded_registry() {
    blue_green_blue(Registry::Embedded, Proxy::Both).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_nginx_and_consul() {
    blue_green_blue(Registry::Consul, Proxy::Nginx).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_haproxy_and_consul() {
    blue_green_blue(Registry::Consul, Proxy::Haproxy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_both_proxies_and_consul() {
    blue_green_blue(Registry::Consul, Proxy::Both).await;
}
