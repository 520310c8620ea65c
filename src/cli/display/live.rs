use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::clean::clean;
use crate::cli::screen::{Screen, Tone};
use crate::cli::story::Story;
use crate::model::{Event, Happening, StepState};

/// Redrawn this often: the seconds run, and the machine does not notice.
const TICK: Duration = Duration::from_millis(120);

/// A moving line at the bottom; what has happened stands above it.
pub(super) struct Live {
    bar: ProgressBar,
}

impl Live {
    pub(super) fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        // The template is a constant that is right; without it there is still a spinner.
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}") {
            bar.set_style(style.tick_strings(&["◐", "◓", "◑", "◒", "●"]));
        }
        bar.enable_steady_tick(TICK);
        Self { bar }
    }

    /// A line that stays.
    pub(super) fn print(&self, line: &str) {
        self.bar.println(line);
    }

    pub(super) fn event(&self, screen: Screen, event: &Event, text: &str, tone: Tone) {
        // What begins or progresses is shown by the moving line.
        if matches!(event.what, Happening::Began | Happening::Note { .. } | Happening::Undoing) {
            return;
        }
        let mark = match tone {
            Tone::Good => "✓",
            Tone::Bad => "✗",
            Tone::Warning => "↩",
            _ => " ",
        };
        let step = event.step.map_or("", crate::model::Step::as_str);
        let mark = screen.paint(tone, mark);
        let step = screen.paint(Tone::Strong, &format!("{step:<16}"));
        self.print(&format!("{mark} {step} {}", screen.paint(tone, &clean(text))));
    }

    /// Show what is under way.
    pub(super) fn now(&self, story: &Story) {
        let open = story
            .chapters
            .iter()
            .filter(|chapter| matches!(chapter.state, StepState::Running | StepState::Undoing));
        let words: Vec<String> = open
            .map(|chapter| match (chapter.state, chapter.note.as_str()) {
                (StepState::Undoing, _) => format!("undoing {}", chapter.step),
                (_, "") => chapter.step.to_string(),
                (_, note) => format!("{}: {}", chapter.step, clean(note)),
            })
            .collect();
        let queued = story.queued.as_deref().filter(|_| story.chapters.is_empty());
        self.bar
            .set_message(queued.map_or_else(|| words.join(" · "), |text| clean(text).into_owned()));
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
