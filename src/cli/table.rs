use comfy_table::{Cell, Color, ContentArrangement, Table};

use super::clean::indented;
use super::context::Context;
use super::screen::Tone;

/// A table without lines, as wide as the terminal; elsewhere no wider than its content, so that a
/// line stays a line.
pub(super) struct Rows {
    table: Table,
    coloured: bool,
}

impl Rows {
    pub(super) fn new(context: &Context, header: &[&str]) -> Self {
        let mut table = Table::new();
        table.load_style(comfy_table::presets::NOTHING).set_header(header.to_vec());
        if !context.screen.lively {
            table.force_no_tty();
        }
        // A terminal of no columns, as programs lend it that have no window, does not know how wide it is.
        let arrangement = match table.width() {
            Some(1..) => ContentArrangement::Dynamic,
            _ => ContentArrangement::Disabled,
        };
        table.set_content_arrangement(arrangement);
        Self { table, coloured: context.screen.coloured }
    }

    pub(super) fn row<const N: usize>(&mut self, cells: [(String, Tone); N]) {
        let cells = cells.into_iter().map(|(text, tone)| {
            let cell = Cell::new(indented(&text, 0));
            match colour(tone) {
                Some(colour) if self.coloured => cell.fg(colour),
                _ => cell,
            }
        });
        self.table.add_row(cells.collect::<Vec<_>>());
    }

    pub(super) fn text(&self) -> String {
        let lines: Vec<String> = self.table.lines().map(|line| unpadded(&line)).collect();
        lines.join("\n")
    }
}

/// Every cell has a space on both sides; those at the edges help nobody.
fn unpadded(line: &str) -> String {
    line.strip_prefix(' ').unwrap_or(line).trim_end().to_owned()
}

fn colour(tone: Tone) -> Option<Color> {
    match tone {
        Tone::Plain | Tone::Strong => None,
        Tone::Good | Tone::Green => Some(Color::Green),
        Tone::Bad => Some(Color::Red),
        Tone::Warning => Some(Color::Yellow),
        Tone::Faint => Some(Color::DarkGrey),
        Tone::Blue => Some(Color::Blue),
    }
}
