//! What somebody changed by hand in the Swarm is told, left alone, and no longer what was committed.

use std::time::Duration;

use serde_json::{Value, json};
use verdigris::model::{Colour, DeploymentId, Outcome};

use crate::daemon::{Daemon, in_virtual_time};
use crate::draft::{draft, request, service};
use crate::world::Sim;

/// Two looks of the reconciler, and more.
const SEEN: Duration = Duration::from_secs(60);

type Edit = fn(&mut Value);

const NO_REPLICAS: Edit = |spec| spec["Mode"] = json!({ "Replicated": { "Replicas": 0 } });
const OTHER_IMAGE: Edit =
    |spec| spec["TaskTemplate"]["ContainerSpec"]["Image"] = json!("good/books:9");

async fn deployed(daemon: Daemon, retained: bool, image: &str) -> (Daemon, DeploymentId, Outcome) {
    let mut draft = draft(image);
    draft.policy.retain.releases = u8::from(retained);
    let id = daemon.engine.submit(request(draft)).await.unwrap().deployment;
    let (daemon, view) = daemon.see_through(id).await;
    (daemon, id, view.outcome.unwrap())
}

fn change(sim: &Sim, colour: Colour, edit: Edit) -> Value {
    let name = service().swarm_name(colour);
    let mut truth = sim.truth();
    let mut spec = truth.swarm[&name].spec.clone();
    edit(&mut spec);
    truth.put(&name, spec.clone());
    spec
}

#[test]
fn a_changed_colour_is_not_what_was_committed() {
    for edit in [NO_REPLICAS, OTHER_IMAGE] {
        in_virtual_time(async move {
            let sim = Sim::new(1);
            let (daemon, ..) = deployed(Daemon::start(&sim).await, false, "good/books:1").await;
            let (daemon, _, again) = deployed(daemon, false, "good/books:1").await;
            assert_eq!(again, Outcome::Unchanged);
            change(&sim, Colour::Blue, edit);
            let (_daemon, _, again) = deployed(daemon, false, "good/books:1").await;
            assert_eq!(again, Outcome::Committed);
            assert_eq!(sim.truth().committed[&service()].colour, Colour::Green);
            assert_eq!(sim.truth().serving(&service().swarm_name(Colour::Green)).len(), 2);
        });
    }
}

#[test]
fn it_is_told_and_left_as_it_is() {
    for (edit, words) in [(NO_REPLICAS, "instead of 2"), (OTHER_IMAGE, "good/books:9")] {
        in_virtual_time(async move {
            let sim = Sim::new(1);
            let (daemon, ..) = deployed(Daemon::start(&sim).await, false, "good/books:1").await;
            let edited = change(&sim, Colour::Blue, edit);
            tokio::time::sleep(SEEN).await;
            assert_eq!(sim.truth().swarm["books-ms-blue"].spec, edited);
            let drift = daemon.reconciler.drift(&service());
            let told = |line: &&String| {
                line.contains("`books-ms-blue` was changed by hand: ") && line.contains(words)
            };
            assert_eq!(drift.iter().filter(told).count(), 1, "{drift:?}");
            let (daemon, ..) = deployed(daemon, false, "good/books:1").await;
            tokio::time::sleep(SEEN).await;
            assert_eq!(daemon.reconciler.drift(&service()), Vec::<String>::new());
        });
    }
}

#[test]
fn a_kept_colour_with_another_image_is_not_gone_back_to_as_it_is() {
    in_virtual_time(async {
        let sim = Sim::new(1);
        let (daemon, ..) = deployed(Daemon::start(&sim).await, true, "good/books:1").await;
        let (daemon, ..) = deployed(daemon, true, "good/books:22").await;
        change(&sim, Colour::Blue, OTHER_IMAGE);
        tokio::time::sleep(SEEN).await;
        let (_daemon, _, again) = deployed(daemon, true, "good/books:1").await;
        assert_eq!(again, Outcome::Committed);
        let spec = sim.truth().swarm["books-ms-blue"].spec.clone();
        let image = spec["TaskTemplate"]["ContainerSpec"]["Image"].as_str().unwrap();
        assert!(image.contains("@sha256:"), "{image}");
    });
}
