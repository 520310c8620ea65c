//! A colour that is kept running, and a proxy that is put back to leading there.

use std::time::Duration;

use verdigris::deploy::record::{Journalled, Record};
use verdigris::model::{Happening, Kind, Outcome, Request, Retain, Step};

use crate::daemon::{Daemon, in_virtual_time};
use crate::draft::{draft, request, service};
use crate::ends::check_violations;
use crate::world::{Answer, Sim, Stubborn};

#[test]
fn what_somebody_removed_cannot_be_kept_and_holds_nothing_up() {
    in_virtual_time(async {
        let sim = Sim::new(0);
        let mut daemon = Daemon::start(&sim).await;
        for image in ["good/books:1", "good/books:22"] {
            let mut kept = draft(image);
            kept.policy.retain = Retain { releases: 1, scale: Some(0), duration: None };
            let id = daemon.engine.submit(request(kept)).await.unwrap().deployment;
            let view;
            (daemon, view) = daemon.see_through(id).await;
            assert_eq!(view.outcome, Some(Outcome::Committed), "{image}");
            let live = service().swarm_name(sim.truth().committed[&service()].colour);
            sim.truth().swarm.remove(&live);
        }
    });
}

#[test]
fn a_proxy_that_was_put_back_is_led_away_before_a_kept_colour_is_replaced() {
    for seed in 0..40 {
        in_virtual_time(async move {
            let sim = Sim::new(seed);
            let mut daemon = Daemon::start(&sim).await;
            for image in ["good/books:1", "good/books:22"] {
                let mut kept = draft(image);
                kept.policy.retain = Retain { releases: 1, scale: None, duration: None };
                let id = daemon.engine.submit(request(kept)).await.unwrap().deployment;
                (daemon, _) = daemon.see_through(id).await;
            }
            let third = daemon.engine.submit(request(draft("good/books:333"))).await.unwrap();
            let third = third.deployment;
            let prepared = |entry: &Journalled| {
                matches!(entry.record, Record::Began { step: Step::PreDeployment })
            };
            while !sim.with_journal(|journal| journal[&third].iter().any(prepared)) {
                tokio::time::sleep(Duration::from_micros(100)).await;
            }
            sim.restore_from_backup();
            let (_daemon, view) = daemon.see_through(third).await;
            assert_eq!(view.outcome, Some(Outcome::Committed), "seed {seed}");
            check_violations(&sim);
        });
    }
}

/// A template that is not good keeps what is new out, whose revert starts the kept colour anew. The way
/// back to that must not wait for whoever mends the template.
#[test]
fn a_rollback_does_not_wait_for_a_template_that_is_mended() {
    let restaged = (0..20).filter(|seed| {
        let sim = Sim::new(*seed);
        let told = sim.clone();
        in_virtual_time(async move {
            let mut daemon = Daemon::start(&sim).await;
            for image in ["good/books:1", "good/books:22"] {
                let mut kept = draft(image);
                kept.policy.retain = Retain { releases: 1, scale: None, duration: None };
                let id = daemon.engine.submit(request(kept)).await.unwrap().deployment;
                (daemon, _) = daemon.see_through(id).await;
            }
            let (proxy, answer) = (None, Answer::Refused);
            sim.truth().stubborn.push(Stubborn { what: "stage", proxy, answer, until: None });
            let third = request(draft("good/books:333"));
            let problems = daemon.engine.plan(&third).await.unwrap().problems;
            assert_eq!(problems, ["a proxy: the template is not good"]);
            let third = daemon.engine.submit(third).await.unwrap();
            let (daemon, view) = daemon.see_through(third.deployment).await;
            assert_eq!(view.failure.unwrap().step, Step::Stage);
            let kind = Kind::Rollback { service: service(), release: None };
            let back = Request { kind, ..request(draft("good/books:1")) };
            let problems = daemon.engine.plan(&back).await.unwrap().problems;
            assert_eq!(problems, Vec::<String>::new());
            let back = daemon.engine.submit(back).await.unwrap().deployment;
            let (daemon, view) = daemon.see_through(back).await;
            assert_eq!(view.outcome, Some(Outcome::Committed), "{:?}", view.failure);
            let staged = view.steps.iter().any(|s| s.step == Step::Stage && s.ended.is_some());
            let says = |what: &Happening| format!("{what:?}").contains("last good template");
            let events = daemon.engine.events(back).await.unwrap();
            let said = events.iter().any(|event| says(&event.what));
            let restaged = sim.truth().trace.iter().any(|(_, what)| what == "restage");
            assert_eq!((said, staged), (restaged, restaged));
            check_violations(&sim);
        });
        told.truth().trace.iter().any(|(_, what)| what == "restage")
    });
    assert!(restaged.count() > 0, "none had to stage the kept colour anew");
}
