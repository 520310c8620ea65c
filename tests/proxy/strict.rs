//! Clients that retry nothing.

use rstest::rstest;
use verdigris::deploy::ports::Proxies;
use verdigris::model::Colour::{Blue, Green};
use verdigris::proxy::Kind;
use verdigris_load::{Config, Group, Kind as Client, Load, Target};

use crate::backend::Instance;
use crate::world::{HOST, World, body, deploy, name, reloads, view, within, world};

/// Clients of every kind that asks for short answers, at both public listeners of `world`.
fn load(world: &World) -> Load {
    let authority = std::fs::read_to_string(world.path("ca.pem")).unwrap();
    let target = |name: &str, address: Option<_>, ca| Target {
        name: name.to_owned(),
        address: address.unwrap(),
        host: HOST.to_owned(),
        path: "/api".to_owned(),
        ca,
    };
    let targets = vec![
        target("http", world.settings.http, None),
        target("https", world.settings.https, Some(authority)),
    ];
    let group = |kind, clients, rate| Group { kind, clients, rate };
    let groups = vec![
        group(Client::Strict, 8, 400.0),
        group(Client::Standard, 4, 100.0),
        group(Client::New, 2, 50.0),
    ];
    Load::start(Config { targets, groups, ..Config::default() }).unwrap()
}

/// A flip by itself costs nobody anything: not even a client that sends its request on a connection
/// which is being closed.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn addresses_that_stay_cost_no_reload_and_no_request(
    #[values(Kind::Nginx, Kind::Haproxy)] kind: Kind,
) {
    let world = world!(kind);
    let fleet = world.fleet().await;
    let (blue, green) = (Instance::start("blue").await, Instance::start("green").await);
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    fleet.stage(&view("books", HOST, Some(Blue)), Green, &[green.backend()]).await.unwrap();
    let before = reloads(&fleet);
    let load = load(&world);
    for _ in 0..4 {
        for (colour, instance) in [(Green, &green), (Blue, &blue)] {
            let view = view("books", HOST, Some(colour.other()));
            deploy(&fleet, &view, colour, &[instance.backend()]).await;
            assert_eq!(body(&world).await, instance.name);
            // Clients meet both colours, in each state that a flip goes through.
            let served = instance.requests();
            within(10, async {
                while instance.requests() < served + 50 {
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
            })
            .await;
            within(10, fleet.drained(&name("books"), colour.other())).await.unwrap();
            fleet.retire(&name("books"), colour.other()).await.unwrap();
        }
    }
    assert_eq!(reloads(&fleet), before);
    let report = load.finish().await;
    assert!(report.kind(Client::Strict).counts.sent > 300, "{report}");
    assert_eq!(report.total.lost, 0, "{:#?}\n{report}", report.losses);
}
