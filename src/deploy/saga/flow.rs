//! The flow itself: which step waits for which, and what each leaves behind.

use crate::model::Step;

/// The steps that must be done before `step` may begin.
#[must_use]
pub fn after(step: Step) -> &'static [Step] {
    match step {
        Step::Prepare => &[],
        Step::PreDeployment => &[Step::Prepare],
        Step::Start => &[Step::PreDeployment],
        Step::Await => &[Step::Start],
        // The three are independent of each other.
        Step::Register | Step::Stage | Step::PreIntegration => &[Step::Await],
        Step::Approve => &[Step::Register, Step::Stage, Step::PreIntegration],
        Step::Switch => &[Step::Approve],
        Step::PostIntegration => &[Step::Switch],
        Step::Bake => &[Step::PostIntegration],
        Step::Commit => &[Step::Bake],
        Step::Drain => &[Step::Commit],
        Step::Retire => &[Step::Drain],
    }
}

/// Whether `step` can leave something behind that its undo takes away.
#[must_use]
pub fn leaves_traces(step: Step) -> bool {
    match step {
        Step::PreDeployment
        | Step::Start
        | Step::Register
        | Step::Stage
        | Step::PreIntegration
        | Step::Switch
        | Step::PostIntegration
        | Step::Commit => true,
        Step::Prepare | Step::Await | Step::Approve | Step::Bake | Step::Drain | Step::Retire => {
            false
        }
    }
}

/// Whether `step` changes nothing: a crash may forget that it began. What leaves no traces does so, but
/// for the retirement, which is never undone.
#[must_use]
pub fn only_looks(step: Step) -> bool {
    !leaves_traces(step) && step != Step::Retire
}
