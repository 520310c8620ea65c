//! A proxy that neither answers nor is seen to have ended may go on any time: it is not taken for one that
//! does not run.

use std::net::TcpListener;

use rstest::rstest;
use verdigris::deploy::ports::{Proxies, ProxyViews, Trouble};
use verdigris::model::Colour::{Blue, Green};
use verdigris::proxy::{Fleet, Kind};

use crate::backend::Instance;
use crate::world::{HOST, World, deploy, name, view, within, world};

/// Blue was live and green is; answers what there was in between.
async fn deployed(world: &World) -> (Fleet, ProxyViews, [Instance; 2]) {
    let fleet = world.fleet().await;
    let (blue, green) = (Instance::start("blue").await, Instance::start("green").await);
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    let before = fleet.snapshot(&name("books")).await.unwrap();
    deploy(&fleet, &view("books", HOST, Some(Blue)), Green, &[green.backend()]).await;
    (fleet, before, [blue, green])
}

/// In the place of the proxy somebody accepts connections and says nothing.
fn fall_silent(world: &mut World) -> TcpListener {
    world.stop_proxy();
    TcpListener::bind(world.settings.status).unwrap()
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn requests_may_be_under_way_in_a_proxy_that_is_silent(
    #[values(Kind::Nginx, Kind::Haproxy)] kind: Kind,
) {
    let mut world = world!(kind);
    let (fleet, _, _instances) = deployed(&world).await;
    let silent = fall_silent(&mut world);
    let unsaid = within(20, fleet.drained(&name("books"), Blue)).await.unwrap_err();
    assert_eq!(unsaid.trouble, Trouble::Unreachable, "{}", unsaid.chain());
    drop(silent);
    within(20, fleet.drained(&name("books"), Blue)).await.unwrap();
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_is_silent_has_not_led_the_public_back(
    #[values(Kind::Nginx, Kind::Haproxy)] kind: Kind,
) {
    let mut world = world!(kind);
    let (fleet, before, _instances) = deployed(&world).await;
    let silent = fall_silent(&mut world);
    let restored = within(60, fleet.restore(&name("books"), &before)).await;
    assert!(restored.is_err(), "it may lead to green yet");
    drop(silent);
    within(60, fleet.restore(&name("books"), &before)).await.unwrap();
}
