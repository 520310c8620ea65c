//! Whether a colour has come up, judged from its tasks. Pure.

use std::collections::BTreeSet;

use crate::model::{Instance, Task, TaskState};

/// What the tasks of a colour say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Not all replicas run yet; the words say how far it is.
    Coming(String),
    /// All replicas run.
    Up(Vec<Instance>),
    /// It will not come up: this task says so.
    Down(Box<Task>),
}

/// Judge `tasks` of a colour that should run `replicas`. Any task that ended by itself is a verdict: a
/// release that exits or is rejected once is not waited for.
#[must_use]
pub fn judge(tasks: &[Task], replicas: u32) -> Verdict {
    let current = || tasks.iter().filter(|task| task.current);
    if let Some(failed) = current().find(|task| task.state == TaskState::Failed) {
        return Verdict::Down(Box::new(failed.clone()));
    }
    let mut instances: Vec<Instance> = current().filter_map(serving).collect();
    if instances.len() >= replicas as usize {
        instances.sort();
        return Verdict::Up(instances);
    }
    let waiting = current()
        .filter(|task| task.wanted && task.state == TaskState::Starting)
        .find(|task| !task.error.is_empty())
        .map(|task| format!(" ({})", task.error))
        .unwrap_or_default();
    Verdict::Coming(format!("{} of {replicas} replicas running{waiting}", instances.len()))
}

/// One of the tasks `served` that has ended by itself.
#[must_use]
pub fn fallen<'a>(tasks: &'a [Task], served: &BTreeSet<String>) -> Option<&'a Task> {
    tasks
        .iter()
        .find(|task| task.current && task.state == TaskState::Failed && served.contains(&task.id))
}

/// The instance that `task` is, if it runs and can be addressed.
#[must_use]
pub fn serving(task: &Task) -> Option<Instance> {
    if !(task.wanted && task.state == TaskState::Running) {
        return None;
    }
    Some(Instance { task: task.id.clone(), node: task.node.clone(), address: task.address? })
}

/// One line on why a task ended: that it was `unhealthy`, or Swarm's words and the exit code, which is that of
/// a politely ended process for a container that was ended because it was unhealthy.
#[must_use]
pub fn describe(task: &Task, unhealthy: Option<&str>) -> String {
    let code = task.exit_code.map(|code| format!(" with exit code {code}")).unwrap_or_default();
    let error = if task.error.is_empty() { String::new() } else { format!(": {}", task.error) };
    let how = match unhealthy {
        Some(checks) => format!("was ended because it was unhealthy: {checks}"),
        // Where its engine cannot be asked.
        None if task.error.contains("unhealthy container") => {
            format!("was ended because it was unhealthy{error}")
        }
        None if task.rejected => format!("was rejected{code}{error}"),
        None => format!("ended{code}{error}"),
    };
    format!("task {} on node `{}` {how}", short(&task.id), task.node)
}

/// Enough of a task id to tell tasks apart.
#[must_use]
pub fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(id: &str, state: TaskState) -> Task {
        Task {
            id: id.to_owned(),
            slot: 1,
            node: "n1".to_owned(),
            state,
            rejected: false,
            wanted: true,
            error: String::new(),
            exit_code: None,
            container: None,
            current: true,
            address: "10.0.0.1:80".parse().ok(),
        }
    }

    #[test]
    fn up_when_all_replicas_run() {
        let tasks = [task("a", TaskState::Running), task("b", TaskState::Starting)];
        assert_eq!(judge(&tasks, 2), Verdict::Coming("1 of 2 replicas running".to_owned()));
        assert!(matches!(judge(&tasks, 1), Verdict::Up(up) if up.len() == 1));
    }

    #[test]
    fn that_a_container_was_unhealthy_is_said_first() {
        let mut task = task("a", TaskState::Failed);
        task.exit_code = Some(0);
        let start = "task a on node `n1` ";
        assert_eq!(describe(&task, None), format!("{start}ended with exit code 0"));
        let unhealthy = format!("{start}was ended because it was unhealthy: ");
        let checks = "3 health checks failed, the last with exit code 1: status 503";
        assert_eq!(describe(&task, Some(checks)), format!("{unhealthy}{checks}"));
        task.error = "task: non-zero exit (137): dockerexec: unhealthy container".to_owned();
        assert_eq!(describe(&task, None), format!("{unhealthy}{}", task.error));
    }

    #[test]
    fn one_exit_is_enough() {
        let tasks = [task("a", TaskState::Failed), task("b", TaskState::Running)];
        assert!(matches!(judge(&tasks, 1), Verdict::Down(task) if task.id == "a"));
    }

    #[test]
    fn tasks_of_an_earlier_spec_do_not_count() {
        let mut old = task("old", TaskState::Failed);
        old.current = false;
        assert_eq!(judge(&[old], 1), Verdict::Coming("0 of 1 replicas running".to_owned()));
    }
}
