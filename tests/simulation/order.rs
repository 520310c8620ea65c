//! The order in which what happens is told.

use std::collections::BTreeSet;
use std::time::Duration;

use verdigris::model::{Bake, Event, Happening, Outcome};

use crate::daemon::{Daemon, in_virtual_time};
use crate::draft::{draft, request};
use crate::world::Sim;

/// Each step begins before anything else is told of it, and nothing is missing or told twice.
fn check_order(events: &[Event]) {
    let mut begun = BTreeSet::new();
    for (seq, event) in (0..).zip(events) {
        assert_eq!(event.seq, seq);
        let Some(step) = event.step else { continue };
        let begins = matches!(event.what, Happening::Began | Happening::Skipped { .. });
        assert!(!begun.insert(step) || begins, "{event:?} comes before `{step}` begins");
    }
}

#[test]
fn a_step_begins_before_it_says_anything_however_slow_the_journal_is() {
    for millis in [0, 50, 1500] {
        in_virtual_time(async move {
            let sim = Sim::new(1);
            let daemon = Daemon::start(&sim).await;
            sim.truth().faults.slow.insert("append", Duration::from_millis(millis));
            let mut draft = draft("good/books:1");
            let duration = Duration::from_secs(5);
            draft.policy.bake = Some(Bake { duration, max_errors: 0.0, min_requests: 1 });
            let id = daemon.engine.submit(request(draft)).await.unwrap().deployment;
            let (daemon, view) = daemon.see_through(id).await;
            assert_eq!(view.outcome, Some(Outcome::Committed));
            let events = daemon.engine.events(id).await.unwrap();
            assert_eq!(events[0].what, Happening::Opened);
            let says = |event: &&Event| matches!(event.what, Happening::Note { .. });
            assert!(events.iter().filter(says).count() > 1, "{events:#?}");
            check_order(&events);
        });
    }
}
