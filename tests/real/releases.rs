//! Blue, green, blue again: what is registered, routed and running at each stage, under load.

use verdigris::model::Colour;

use crate::support::{Expected, Proxy, Registry, Traffic, World};

async fn blue_green_blue(registry: Registry, proxy: Proxy) {
    let Some(world) = World::with_first(registry, proxy).await else { return };
    let first = Expected {
        colour: Colour::Blue,
        edition: "1.0",
        release: None,
        services: vec![("books-ms-blue", 2)],
        entries: vec![("blue", "live", 2)],
    };
    first.holds(&world).await;

    let traffic = Traffic::start(&world, "books-ms");
    let kept = world.books("2.0").asking("retain", serde_json::json!({ "scale": 0 }));
    world.deploy(&kept).await.committed();
    let second = Expected {
        colour: Colour::Green,
        edition: "2.0",
        release: None,
        services: vec![("books-ms-blue", 0), ("books-ms-green", 2)],
        entries: vec![("green", "live", 2)],
    };
    second.holds(&world).await;

    world.deploy(&world.books("3.0")).await.committed();
    let third = Expected {
        colour: Colour::Blue,
        edition: "3.0",
        release: None,
        services: vec![("books-ms-blue", 2)],
        entries: vec![("blue", "live", 2)],
    };
    third.holds(&world).await;
    traffic.end(&format!("{registry:?} {proxy:?}")).await;
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
