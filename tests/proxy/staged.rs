//! Whether instances are staged already, so that a rollback can go straight to its flip.

use rstest::rstest;
use verdigris::deploy::ports::{Idle, Proxies};
use verdigris::model::Backend;
use verdigris::model::Colour::{Blue, Green};
use verdigris::proxy::{Fleet, Kind};

use crate::backend::Instance;
use crate::world::{HOST, World, deploy, name, reloads, view, world};

async fn is_staged(fleet: &Fleet, backends: &[Backend]) -> bool {
    let rule = view("books", HOST, None).rule;
    let wanted = Idle { colour: Green, rule, backends: backends.to_vec() };
    fleet.idle(&name("books")).await == [Some(wanted)]
}

/// The same, where a machine that is busy may make it take too long to say so.
async fn is_found_staged(fleet: &Fleet, backends: &[Backend]) -> bool {
    for _ in 0..20 {
        if is_staged(fleet, backends).await {
            return true;
        }
    }
    false
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_staged_is_known(#[values(Kind::Nginx, Kind::Haproxy)] kind: Kind) {
    let mut world = world!(kind);
    let fleet = world.fleet().await;
    let (blue, green) = (Instance::start("blue").await, Instance::start("green").await);
    assert!(!is_staged(&fleet, &[green.backend()]).await, "nothing is known of the service");
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    assert_eq!(fleet.idle(&name("books")).await, [None], "nobody is idle");
    let idle = view("books", HOST, Some(Blue));
    fleet.stage(&idle, Green, &[green.backend()]).await.unwrap();
    assert!(is_found_staged(&fleet, &[green.backend()]).await);
    let mut elsewhere = idle.clone();
    elsewhere.rule.path = "/elsewhere".to_owned();
    fleet.stage(&elsewhere, Green, &[green.backend()]).await.unwrap();
    assert!(!is_staged(&fleet, &[green.backend()]).await, "it is to be served by another rule");
    fleet.stage(&idle, Green, &[green.backend()]).await.unwrap();
    assert!(is_found_staged(&fleet, &[green.backend()]).await);
    let before = reloads(&fleet);
    fleet.flip(&name("books"), Green, 2).await.unwrap();
    fleet.flip(&name("books"), Blue, 3).await.unwrap();
    assert!(is_found_staged(&fleet, &[green.backend()]).await, "it was kept");
    assert_eq!(reloads(&fleet), before);
    world.stop_proxy();
    assert!(!is_staged(&fleet, &[green.backend()]).await, "the proxy does not run");
    world.start_proxy();
    assert!(is_found_staged(&fleet, &[green.backend()]).await, "it runs by the same files");
    green.kill().await;
    assert!(!is_staged(&fleet, &[green.backend()]).await, "the instance has died");
    fleet.retire(&name("books"), Green).await.unwrap();
    assert!(!is_staged(&fleet, &[green.backend()]).await, "it was retired");
}

/// nginx does not read for an idle colour that one of its instances was replaced: it is known, not
/// staged, though the other one answers.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_the_proxy_has_not_read_is_not_staged(
    #[values(Kind::Nginx, Kind::Haproxy)] kind: Kind,
) {
    let world = world!(kind);
    let fleet = world.fleet().await;
    let (blue, stays) = (Instance::start("blue").await, Instance::start("stays").await);
    let (goes, comes) = (Instance::start("goes").await, Instance::start("comes").await);
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    let sorted = |mut backends: [Backend; 2]| {
        backends.sort();
        backends
    };
    let first = sorted([stays.backend(), goes.backend()]);
    let idle = view("books", HOST, Some(Blue));
    fleet.stage(&idle, Green, &first).await.unwrap();
    assert!(is_found_staged(&fleet, &first).await);
    let second = sorted([stays.backend(), comes.backend()]);
    goes.kill().await;
    fleet.refresh(&name("books"), Green, &second).await.unwrap();
    assert_eq!(is_found_staged(&fleet, &second).await, kind == Kind::Haproxy);
    fleet.stage(&idle, Green, &second).await.unwrap();
    assert!(is_found_staged(&fleet, &second).await);
}
