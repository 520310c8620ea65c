//! What a gate sees while it runs.

use std::time::Duration;

use verdigris::model::{Outcome, StepState};

use crate::daemon::{Daemon, in_virtual_time};
use crate::draft::{draft, gate, request};
use crate::ends::check_violations;
use crate::world::Sim;

#[test]
fn a_gate_sees_the_instance_that_came_in_the_place_of_another() {
    in_virtual_time(async {
        let sim = Sim::new(1);
        let daemon = Daemon::start(&sim).await;
        let first = daemon.engine.submit(request(draft("good/books:1"))).await.unwrap().deployment;
        let (daemon, _) = daemon.see_through(first).await;
        let mut second = draft("good/books:22");
        second.policy.gates.post_integration = vec![gate("look")];
        let id = daemon.engine.submit(request(second)).await.unwrap().deployment;
        let at_the_gate = async || {
            let view = daemon.engine.deployment(id).await.unwrap();
            let running = |state| state == StepState::Running;
            view.steps.iter().any(|s| s.step.as_str() == "post-integration" && running(s.state))
        };
        while !at_the_gate().await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        sim.let_die("books-ms-green");
        let (_daemon, view) = daemon.see_through(id).await;
        assert_eq!(view.outcome, Some(Outcome::Committed));
        check_violations(&sim);
    });
}
