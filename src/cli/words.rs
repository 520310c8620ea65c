use std::time::Duration;

use super::screen::Tone;
use super::story::Story;
use crate::model::{Event, ExitCode, Happening, Outcome};

/// What happened, as a person reads it, and how it is meant. `story` knows the event already.
pub(super) fn words(event: &Event, story: &Story) -> (String, Tone) {
    match &event.what {
        Happening::Opened => ("accepted".to_owned(), Tone::Plain),
        Happening::Began => ("begins".to_owned(), Tone::Faint),
        Happening::Done { note } => {
            (join(&format!("done{}", took(event, story)), note), Tone::Good)
        }
        Happening::Skipped { why } => (join("not needed", why), Tone::Faint),
        Happening::Failed { failure } => (join("failed", &failure.message), Tone::Bad),
        Happening::Stopped { failure } => (join("stopped", &failure.message), Tone::Bad),
        Happening::Undoing => ("undoing".to_owned(), Tone::Warning),
        Happening::Undone => ("undone".to_owned(), Tone::Warning),
        Happening::Stuck { problem } => (join("stuck", &problem.message), Tone::Bad),
        Happening::Approved { by } => (format!("approved by {by}"), Tone::Good),
        Happening::Retried { by } => (format!("taken up again by {by}"), Tone::Plain),
        Happening::Note { text } => (text.clone(), Tone::Plain),
        Happening::Output { gate, line } => (format!("{gate} | {line}"), Tone::Faint),
        Happening::Gate { gate, millis, failure, .. } => {
            let time = brief(Duration::from_millis(*millis));
            match failure {
                None => (format!("gate `{gate}` passed in {time}"), Tone::Good),
                Some(why) => (format!("gate `{gate}` failed after {time}: {why}"), Tone::Bad),
            }
        }
        Happening::Ended { outcome } => (ending(outcome), tone(outcome)),
    }
}

fn join(head: &str, tail: &str) -> String {
    if tail.is_empty() { head.to_owned() } else { format!("{head}: {tail}") }
}

fn took(event: &Event, story: &Story) -> String {
    let chapter = story.chapters.iter().find(|chapter| Some(chapter.step) == event.step);
    chapter.map_or_else(String::new, |chapter| format!(" in {}", brief(chapter.took(event.at))))
}

/// The end in a few words. Why something is reverted has been said when it failed.
pub(super) fn ending(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Committed => "committed".to_owned(),
        Outcome::Unchanged => "unchanged: that very release is live already".to_owned(),
        Outcome::Reverted { .. } => outcome.as_str().to_owned(),
        Outcome::Stuck { problem, .. } => {
            format!("stuck at `{}`, a person is needed: {}", problem.step, problem.message)
        }
    }
}

/// How an end is meant.
pub(super) fn tone(outcome: &Outcome) -> Tone {
    match outcome.exit_code() {
        ExitCode::Success => Tone::Good,
        _ => Tone::Bad,
    }
}

/// A duration that is quickly read: `480ms`, `2.4s`, `75s` is `1m 15s`.
pub(super) fn brief(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{}ms", duration.as_millis()),
        1..=9 => format!("{:.1}s", duration.as_secs_f64()),
        _ => humantime::format_duration(Duration::from_secs(seconds)).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_brief() {
        let brief = |millis| brief(Duration::from_millis(millis));
        assert_eq!([brief(480), brief(2_449), brief(75_400)], ["480ms", "2.4s", "1m 15s"]);
    }
}
