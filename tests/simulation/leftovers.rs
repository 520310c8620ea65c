//! What dead deployments left goes; what anybody owns stays.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use verdigris::model::{Colour, DeploymentId, Retain, labels};

use crate::daemon::{Daemon, in_virtual_time};
use crate::draft::{draft, request, service};
use crate::world::Sim;

async fn deployed(sim: &Sim) -> (Daemon, DeploymentId) {
    let daemon = Daemon::start(sim).await;
    let id = daemon.engine.submit(request(draft("good/books:1"))).await.unwrap().deployment;
    let (daemon, _) = daemon.see_through(id).await;
    (daemon, id)
}

/// A second colour, as deployment `by` left it.
fn orphan(sim: &Sim, by: DeploymentId) -> String {
    let mut truth = sim.truth();
    let live = truth.registry[&service()].colour.unwrap();
    let (name, idle) = (service().swarm_name(live), live.other());
    let mut spec: Value = truth.swarm[&name].spec.clone();
    let name = service().swarm_name(idle);
    spec["Name"] = json!(name);
    spec["Labels"][labels::COLOUR] = json!(idle);
    spec["Labels"][labels::DEPLOYMENT] = json!(by);
    truth.put(&name, spec);
    name
}

fn there(sim: &Sim) -> Vec<String> {
    sim.truth().swarm.keys().cloned().collect()
}

#[test]
fn a_colour_that_nobody_owns_is_removed_and_others_are_not() {
    in_virtual_time(async {
        let sim = Sim::new(1);
        let (daemon, ended) = deployed(&sim).await;
        sim.truth().put("somebody-elses-green", json!({ "Name": "somebody-elses-green" }));
        let orphan = orphan(&sim, ended);
        tokio::time::sleep(Duration::from_secs(60)).await;
        let live = service().swarm_name(Colour::Blue);
        assert_eq!(there(&sim), [live, "somebody-elses-green".to_owned()]);
        assert_eq!(daemon.reconciler.drift(&service()), Vec::<String>::new(), "it is mended");
        let mended = daemon.reconciler.mended(&service());
        assert!(mended.iter().any(|mended| mended.what.contains(&orphan)), "{mended:?}");
    });
}

#[test]
fn a_colour_of_an_unknown_deployment_stays_and_status_says_what_to_do() {
    in_virtual_time(async {
        let sim = Sim::new(1);
        let (daemon, _) = deployed(&sim).await;
        let orphan = orphan(&sim, DeploymentId::new());
        tokio::time::sleep(Duration::from_secs(60)).await;
        check_left_alone(&sim, &daemon, &orphan);
    });
}

#[test]
fn a_colour_stays_when_the_state_directory_was_lost() {
    in_virtual_time(async {
        let sim = Sim::new(1);
        let (daemon, ended) = deployed(&sim).await;
        let orphan = orphan(&sim, ended);
        sim.truth().journals.clear();
        let daemon = daemon.restart().await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        check_left_alone(&sim, &daemon, &orphan);
    });
}

fn check_left_alone(sim: &Sim, daemon: &Daemon, orphan: &String) {
    assert!(there(sim).contains(orphan));
    let drift = daemon.reconciler.drift(&service());
    let remedy = format!("docker service rm {orphan}");
    let told: Vec<&String> = drift.iter().filter(|line| line.contains(&remedy)).collect();
    assert_eq!(told.len(), 1, "{drift:?}");
}

/// Two releases, of which the first was kept for a moment and is gone.
async fn deployed_over(sim: &Sim) -> Daemon {
    let (daemon, _) = deployed(sim).await;
    let mut second = draft("good/books:22");
    second.policy.retain =
        Retain { releases: 1, scale: Some(0), duration: Some(Duration::from_secs(5)) };
    let second = daemon.engine.submit(request(second)).await.unwrap().deployment;
    let (daemon, _) = daemon.see_through(second).await;
    assert_eq!(there(sim).len(), 2, "it is kept");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(there(sim), [service().swarm_name(Colour::Green)], "its time is over");
    daemon
}

/// The public is led to the other colour, as by a switch that nobody has committed.
fn switch(sim: &Sim) {
    let mut truth = sim.truth();
    let record = truth.registry.get_mut(&service()).unwrap();
    let live = record.colour.unwrap();
    let route = record.route.as_mut().unwrap();
    route.generation += 1;
    route.weights = BTreeMap::from([(live, 0), (live.other(), 100)]);
}

#[test]
fn a_colour_with_the_traffic_stays_though_one_was_kept_long_enough() {
    in_virtual_time(async {
        let sim = Sim::new(1);
        let daemon = deployed_over(&sim).await;
        // Another daemon has deployed blue and switched to it, and was ended before it could commit.
        let theirs = orphan(&sim, DeploymentId::new());
        switch(&sim);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(there(&sim).contains(&theirs));
        let drift = daemon.reconciler.drift(&service());
        assert!(drift.iter().any(|line| line.contains("do not agree")), "{drift:?}");
    });
}

#[test]
fn only_what_was_retired_goes_when_it_was_kept_long_enough() {
    in_virtual_time(async {
        let sim = Sim::new(1);
        let daemon = deployed_over(&sim).await;
        // Another daemon has started blue, and was ended before it could switch.
        let theirs = orphan(&sim, DeploymentId::new());
        tokio::time::sleep(Duration::from_secs(60)).await;
        check_left_alone(&sim, &daemon, &theirs);
    });
}

#[test]
fn the_limit_stops_it_and_status_says_so() {
    in_virtual_time(async {
        let sim = Sim::new(1);
        let (daemon, ended) = deployed(&sim).await;
        for _ in 0..5 {
            orphan(&sim, ended);
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert_eq!(there(&sim).len(), 1);
        }
        orphan(&sim, ended);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(there(&sim).len(), 2);
        let drift = daemon.reconciler.drift(&service());
        assert!(drift.iter().any(|line| line.contains("limit")), "{drift:?}");
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert_eq!(there(&sim).len(), 1, "later it goes");
        assert_eq!(daemon.reconciler.drift(&service()), Vec::<String>::new());
    });
}

#[test]
fn test_containers_of_ended_deployments_go_and_those_of_strangers_stay() {
    in_virtual_time(async {
        let sim = Sim::new(1);
        let (_daemon, ended) = deployed(&sim).await;
        let stranger = DeploymentId::new();
        sim.truth().containers.extend([(ended, 2), (stranger, 1)]);
        tokio::time::sleep(Duration::from_secs(60)).await;
        let left: Vec<DeploymentId> = sim.truth().containers.keys().copied().collect();
        assert_eq!(left, [stranger]);
    });
}
