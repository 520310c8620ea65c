use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::deploy::fixture;
use crate::deploy::record::{Journalled, Prepared, Record};
use crate::model::{
    self, Approval, Bake, Check, CommandCheck, Draft, FailureKind, Gate, Gates, RouteRule,
};

/// With everything that a deployment can be asked for.
fn draft() -> Draft {
    let check = Check::Command(CommandCheck { argv: vec!["true".to_owned()], env: [].into() });
    let gate = vec![Gate { name: "gate".to_owned(), check, timeout: Duration::from_secs(1) }];
    let route = RouteRule { hosts: vec!["a.test".to_owned()], path: "/".to_owned(), tls: false };
    let policy = Policy {
        route: Some(route),
        gates: Gates {
            pre_deployment: gate.clone(),
            pre_integration: gate.clone(),
            post_integration: gate,
        },
        approve: Some(Approval { expires: Duration::from_secs(1) }),
        bake: Some(Bake { duration: Duration::from_secs(1), max_errors: 0.0, min_requests: 1 }),
        ..model::fixture::policy()
    };
    Draft { policy, ..model::fixture::draft() }
}

fn state() -> State {
    fixture::opened(draft())
}

fn result(step: Step) -> Box<StepResult> {
    Box::new(match step {
        Step::Prepare => StepResult::Prepared(fixture::prepared(draft())),
        _ => StepResult::Nothing,
    })
}

fn failure(step: Step) -> Failure {
    let (message, details) = ("it broke".to_owned(), Vec::new());
    Failure { step, kind: FailureKind::Start, message, details, remedy: None }
}

/// Go on as decided; `fails` says of each step that ends whether it failed. Answers the end and the
/// order in which things were done and undone.
fn play(fails: &[bool]) -> (Outcome, Vec<Step>, Vec<Step>) {
    let mut state = state();
    let mut fails = fails.iter().copied().chain(std::iter::repeat(false));
    let (mut done, mut undone) = (Vec::new(), Vec::new());
    let mut running: BTreeSet<Step> = BTreeSet::new();
    for _ in 0..200 {
        match state.decide(&running) {
            Decision::Act(steps) => {
                for step in steps {
                    state.apply(&Record::Began { step }).unwrap();
                    running.insert(step);
                }
            }
            Decision::Wait => {
                let step = running.pop_last().expect("something is awaited");
                let may_fail = !state.committed() && !state.reverting();
                if may_fail && fails.next().unwrap_or(false) {
                    state.apply(&Record::Failed { failure: failure(step) }).unwrap();
                } else {
                    state.apply(&Record::Done { step, result: result(step) }).unwrap();
                    done.push(step);
                }
            }
            Decision::Undo(step) => {
                state.apply(&Record::Undoing { step }).unwrap();
                state.apply(&Record::Undone { step }).unwrap();
                undone.push(step);
            }
            Decision::End(outcome) => return (outcome, done, undone),
            Decision::Finished => unreachable!("the end is not applied"),
        }
    }
    panic!("no end after 200 decisions");
}

#[test]
fn without_a_failure_every_step_is_done_once_and_in_order() {
    let (outcome, mut done, undone) = play(&[]);
    assert_eq!((outcome, undone), (Outcome::Committed, Vec::new()));
    done.sort();
    assert_eq!(done, Step::ALL);
}

#[test]
fn a_step_cannot_begin_before_what_it_waits_for() {
    let mut state = state();
    assert!(state.apply(&Record::Began { step: Step::Start }).is_err());
    assert!(
        state.apply(&Record::Done { step: Step::Prepare, result: result(Step::Prepare) }).is_err()
    );
    assert!(state.apply(&Record::Undoing { step: Step::Prepare }).is_err());
}

#[test]
fn a_journal_with_a_hole_is_refused_whatever_stands_around_it() {
    let request = Box::new(state().request);
    let problem = "no words".to_owned();
    let entry = |seq, record| Journalled { seq, at: Timestamp::UNIX_EPOCH, record };
    let opened = || entry(0, Record::Opened { request: request.clone() });
    let began = |seq| entry(seq, Record::Began { step: Step::Prepare });
    assert!(State::replay(&[opened(), began(1), began(2)]).is_ok());
    let said = |journal: &[Journalled]| State::replay(journal).unwrap_err().to_string();
    assert_eq!(said(&[opened(), began(2)]), "record 1 of the journal is missing");
    let last = entry(1, Record::Unreadable { problem });
    assert_eq!(said(&[opened(), last.clone()]), "record 1 of the journal cannot be read: no words");
    assert_eq!(
        said(&[Journalled { seq: 0, ..last }, began(1)]),
        "record 0 of the journal cannot be read: no words"
    );
}

/// A rollback to what still runs, stands on record and in the proxies, and answers there.
fn in_place() -> State {
    let mut state = state();
    let prepared = fixture::prepared(draft());
    let instances = vec![Instance {
        task: "t".to_owned(),
        node: "n".to_owned(),
        address: ([127, 0, 0, 1], 1).into(),
    }];
    let prepared = Prepared { running: true, in_place: true, instances, ..prepared };
    let service = prepared.release.service.clone();
    state.request.kind = Kind::Rollback { service, release: None };
    let result = Box::new(StepResult::Prepared(prepared));
    state.apply(&Record::Began { step: Step::Prepare }).unwrap();
    state.apply(&Record::Done { step: Step::Prepare, result }).unwrap();
    while let Decision::Act(steps) = state.decide(&BTreeSet::new()) {
        let Some((step, why)) = steps.iter().find_map(|s| Some((*s, state.needless(*s)?))) else {
            break;
        };
        let result = Box::new(StepResult::Skipped { why: why.to_owned() });
        state.apply(&Record::Done { step, result }).unwrap();
    }
    state
}

#[test]
fn what_is_in_place_goes_straight_to_the_switch() {
    let state = in_place();
    assert_eq!(state.decide(&BTreeSet::new()), Decision::Act(vec![Step::Switch]));
    assert_eq!(state.needless(Step::Register), Some("in place already"));
    assert_eq!(state.needless(Step::Stage), Some("in place already"));
    assert!(!state.may_have_moved());
    assert_eq!(state.instances().len(), 1);
    // Running alone is not enough: then it is registered and staged.
    let mut running = fixture::prepared(draft());
    running.running = true;
    let mut other = fixture::opened(draft());
    let result = Box::new(StepResult::Prepared(running));
    other.apply(&Record::Began { step: Step::Prepare }).unwrap();
    other.apply(&Record::Done { step: Step::Prepare, result }).unwrap();
    assert_eq!(other.needless(Step::Start), Some("the release still runs"));
    assert_eq!((other.needless(Step::Register), other.needless(Step::Stage)), (None, None));
}

#[test]
fn the_revert_of_what_was_in_place_leaves_it_there() {
    let mut state = in_place();
    state.apply(&Record::Began { step: Step::Switch }).unwrap();
    state.apply(&Record::Failed { failure: failure(Step::Switch) }).unwrap();
    assert_eq!(state.left(), [Step::Switch]);
    assert_eq!(state.decide(&BTreeSet::new()), Decision::Undo(Step::Switch));
    for record in [Record::Undoing { step: Step::Switch }, Record::Undone { step: Step::Switch }] {
        state.apply(&record).unwrap();
    }
    let end = Outcome::Reverted { failure: failure(Step::Switch) };
    assert_eq!(state.decide(&BTreeSet::new()), Decision::End(end));
}

#[test]
fn the_public_goes_back_before_a_ci_engine_is_asked_that_may_be_away() {
    let mut state = state();
    for step in Step::ALL.into_iter().take_while(|step| *step < Step::PostIntegration) {
        state.apply(&Record::Began { step }).unwrap();
        state.apply(&Record::Done { step, result: result(step) }).unwrap();
    }
    state.apply(&Record::Began { step: Step::PostIntegration }).unwrap();
    state.apply(&Record::Failed { failure: failure(Step::PostIntegration) }).unwrap();
    assert_eq!(state.decide(&BTreeSet::new()), Decision::Undo(Step::Switch));
    let left = state.left();
    let first = left.iter().position(|step| step.gate_point().is_some()).unwrap();
    assert!(left[first..].iter().all(|step| step.gate_point().is_some()), "{left:?}");
    assert!(left[..first].is_sorted_by(|one, next| one > next), "{left:?}");
}

#[test]
fn nothing_follows_the_end() {
    let mut state = state();
    state.apply(&Record::Ended { outcome: Outcome::Committed }).unwrap();
    assert!(state.apply(&Record::Began { step: Step::Prepare }).is_err());
    assert_eq!(state.decide(&BTreeSet::new()), Decision::Finished);
}

#[test]
fn one_that_failed_and_is_taken_over_before_it_is_undone_ends_as_superseded() {
    let mut state = state();
    state.apply(&Record::Began { step: Step::Prepare }).unwrap();
    state.apply(&Record::Done { step: Step::Prepare, result: result(Step::Prepare) }).unwrap();
    state.apply(&Record::Began { step: Step::PreDeployment }).unwrap();
    state.apply(&Record::Failed { failure: failure(Step::PreDeployment) }).unwrap();
    state.apply(&Record::Undoing { step: Step::PreDeployment }).unwrap();
    let lost = Failure { kind: FailureKind::Superseded, ..failure(Step::PreDeployment) };
    state.apply(&Record::TakenOver { failure: lost.clone() }).unwrap();
    let end = Outcome::Reverted { failure: lost };
    assert_eq!(state.decide(&BTreeSet::new()), Decision::End(end));
}

#[test]
fn instances_are_where_they_were_last_seen() {
    let instance = |port| Instance {
        task: "t".to_owned(),
        node: "n".to_owned(),
        address: ([127, 0, 0, 1], port).into(),
    };
    let mut state = state();
    for step in Step::ALL.into_iter().take_while(|step| *step <= Step::Switch) {
        let result = match step {
            Step::Await => Box::new(StepResult::Running { instances: vec![instance(1)] }),
            Step::Switch => {
                assert_eq!(state.instances(), [instance(1)]);
                Box::new(StepResult::Switched { micros: 1, moved: Some(vec![instance(2)]) })
            }
            step => result(step),
        };
        state.apply(&Record::Began { step }).unwrap();
        state.apply(&Record::Done { step, result }).unwrap();
    }
    assert!(state.may_have_moved());
    assert_eq!(state.instances(), [instance(2)]);
}

proptest! {
    /// Whatever fails: the end is committed with nothing undone, or reverted with everything undone
    /// that may have left traces, last first, gates after all others.
    #[test]
    fn every_play_ends_whole(fails in prop::collection::vec(prop::bool::weighted(0.15), 0..20)) {
        let (outcome, done, undone) = play(&fails);
        match outcome {
            Outcome::Committed => prop_assert!(undone.is_empty()),
            Outcome::Reverted { failure } => {
                let mut traces: Vec<Step> =
                    done.into_iter().chain([failure.step]).filter(|step| leaves_traces(*step)).collect();
                traces.sort();
                traces.dedup();
                traces.reverse();
                traces.sort_by_key(|step| step.gate_point().is_some());
                prop_assert_eq!(undone, traces);
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }

    /// A journal cut anywhere folds to a state that goes on to an end.
    #[test]
    fn a_crash_anywhere_is_taken_up(cut in 1usize..40) {
        let mut state = state();
        let mut applied = 0;
        while applied < cut {
            let Decision::Act(steps) = state.decide(&BTreeSet::new()) else { break };
            for step in steps {
                state.apply(&Record::Began { step }).unwrap();
                applied += 1;
                if applied < cut {
                    state.apply(&Record::Done { step, result: result(step) }).unwrap();
                    applied += 1;
                }
            }
        }
        // Begun steps are begun again: nothing of the cut is lost.
        match state.decide(&BTreeSet::new()) {
            Decision::Act(steps) => {
                for step in steps {
                    let begun = state.apply(&Record::Began { step });
                    prop_assert!(begun.is_ok());
                }
            }
            decision => prop_assert_eq!(decision, Decision::End(Outcome::Committed)),
        }
    }
}
