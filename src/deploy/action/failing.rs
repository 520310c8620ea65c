use crate::deploy::ports::{Origin, PortError, Trouble};
use crate::model::{Failure, FailureKind, Step};

/// A step that waited was told to stop; the real reason stands in the journal already.
pub fn stopped(step: Step) -> Failure {
    Failure {
        step,
        kind: FailureKind::Aborted,
        message: format!("`{step}` was stopped"),
        details: Vec::new(),
        remedy: None,
    }
}

/// The failure of `step` that a port's error makes: of the kind that the port makes it, not the step.
pub fn failed(step: Step, error: &PortError) -> Failure {
    Failure {
        step,
        kind: kind(step, error),
        message: error.chain(),
        details: error.details.clone(),
        remedy: error.remedy.clone(),
    }
}

fn kind(step: Step, error: &PortError) -> FailureKind {
    match (error.trouble, error.origin) {
        (Trouble::Superseded, _) => FailureKind::Superseded,
        (_, Some(Origin::Proxy)) => FailureKind::Proxy,
        // What it refuses cannot be had from it, either.
        (Trouble::Unreachable, None | Some(Origin::Journal)) | (_, Some(Origin::Registry)) => {
            FailureKind::Unreachable
        }
        (_, None | Some(Origin::Journal)) => match step {
            Step::PreDeployment | Step::PreIntegration => FailureKind::PreGate,
            Step::PostIntegration | Step::Bake => FailureKind::PostGate,
            Step::Prepare | Step::Start | Step::Await | Step::Switch => FailureKind::Start,
            Step::Register
            | Step::Stage
            | Step::Approve
            | Step::Commit
            | Step::Drain
            | Step::Retire => FailureKind::Unreachable,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TROUBLES: [Trouble; 7] = [
        Trouble::Unreachable,
        Trouble::NotFound,
        Trouble::Conflict,
        Trouble::Superseded,
        Trouble::Denied,
        Trouble::Invalid,
        Trouble::Other,
    ];

    fn kind_of(step: Step, trouble: Trouble, origin: Option<Origin>) -> FailureKind {
        let mut error = PortError::new(trouble, "do it");
        error.origin = origin;
        failed(step, &error).kind
    }

    #[test]
    fn what_failed_decides_and_not_where() {
        let (registry, proxy) = (Some(Origin::Registry), Some(Origin::Proxy));
        for step in [Step::Register, Step::Stage, Step::Switch, Step::Commit] {
            for trouble in [Trouble::Unreachable, Trouble::Denied, Trouble::Conflict] {
                assert_eq!(kind_of(step, trouble, registry), FailureKind::Unreachable);
                assert_eq!(kind_of(step, trouble, proxy), FailureKind::Proxy);
            }
            assert_eq!(kind_of(step, Trouble::Unreachable, None), FailureKind::Unreachable);
            assert_eq!(kind_of(step, Trouble::Superseded, registry), FailureKind::Superseded);
        }
        assert_eq!(kind_of(Step::Start, Trouble::Invalid, None), FailureKind::Start);
    }

    #[test]
    fn no_port_makes_a_defect_of_verdigris() {
        for step in Step::ALL {
            for trouble in TROUBLES {
                let origins = [Origin::Registry, Origin::Proxy, Origin::Journal].map(Some);
                for origin in origins.into_iter().chain([None]) {
                    assert_ne!(kind_of(step, trouble, origin), FailureKind::Internal);
                }
            }
        }
    }
}
