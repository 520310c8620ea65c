//! Stage, flip, restore, retire, refresh.

use rstest::rstest;
use verdigris::deploy::ports::Proxies;
use verdigris::model::Colour;
use verdigris::proxy::Kind;

use crate::backend::Instance;
use crate::client::{Load, get};
use crate::world::{HOST, World, deploy, name, view, world};

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn blue_then_green_under_load(#[values(Kind::Nginx, Kind::Haproxy)] kind: Kind) {
    let world = world!(kind);
    let fleet = world.fleet().await;
    assert_eq!(fleet.status()[0].problem, None);
    let blue = Instance::start("blue-1").await;
    let green = Instance::start("green-1").await;
    deploy(&fleet, &view("books", HOST, None), Colour::Blue, &[blue.backend()]).await;
    assert_eq!(get(world.http(), HOST, "/").await.unwrap().body, "blue-1");
    let load = Load::start(world.http(), HOST, 4, 4);
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    fleet
        .stage(&view("books", HOST, Some(Colour::Blue)), Colour::Green, &[green.backend()])
        .await
        .unwrap();
    assert_eq!(get(world.http(), HOST, "/").await.unwrap().body, "blue-1");
    let started = std::time::Instant::now();
    fleet.flip(&name("books"), Colour::Green, 2).await.unwrap();
    eprintln!("{kind} flip {:?}", started.elapsed());
    assert_eq!(get(world.http(), HOST, "/").await.unwrap().body, "green-1");
    fleet.drained(&name("books"), Colour::Blue).await.unwrap();
    blue.kill();
    fleet.retire(&name("books"), Colour::Blue).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    let outcome = load.stop().await;
    assert!(outcome.sent > 100, "{outcome:?}");
    assert_eq!(outcome.lost, Vec::<String>::new(), "of {}", outcome.sent);
    eprintln!("{kind} reloads {:?}", fleet.status());
}
