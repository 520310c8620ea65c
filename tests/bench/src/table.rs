//! The table: what was wanted, and what came of it.

use std::fmt::Write as _;

/// One figure with its target.
#[derive(Debug)]
pub struct Row {
    what: String,
    target: String,
    measured: String,
    met: bool,
    /// It could not be had.
    is_missing: bool,
}

impl Row {
    /// `measured` should be at most `most`; both are shown with `unit`.
    pub fn at_most(what: impl Into<String>, most: f64, measured: f64, unit: &str) -> Self {
        Self {
            what: what.into(),
            target: format!("≤ {}{unit}", number(most)),
            measured: format!("{}{unit}", number(measured)),
            met: measured <= most,
            is_missing: false,
        }
    }

    /// With more to say about what was measured.
    #[must_use]
    pub fn remark(mut self, remark: impl AsRef<str>) -> Self {
        let _ = write!(self.measured, "  ({})", remark.as_ref());
        self
    }

    /// A figure that has no target, only words in its place.
    pub fn untold(what: impl Into<String>, target: &str, measured: f64) -> Self {
        let (what, target) = (what.into(), target.to_owned());
        Self { what, target, measured: number(measured), met: true, is_missing: false }
    }

    /// A figure that could not be had.
    pub fn failed(what: impl Into<String>, error: &anyhow::Error) -> Self {
        let measured = format!("not measured: {error:#}");
        let what = what.into();
        Self { what, target: String::new(), measured, met: false, is_missing: true }
    }

    /// Whether the figure could not be had.
    pub fn is_missing(&self) -> bool {
        self.is_missing
    }
}

/// The table as text, and which targets are missed.
pub fn show(rows: &[Row]) -> String {
    let width = |column: fn(&Row) -> &str| {
        rows.iter().map(|row| column(row).chars().count()).max().unwrap_or(0)
    };
    let (what, target) = (width(|row| &row.what), width(|row| &row.target));
    let mut text = String::new();
    for row in rows {
        let mark = if row.met { "  " } else { "✗ " };
        let _ =
            writeln!(text, "{mark}{:<what$}  {:>target$}  {}", row.what, row.target, row.measured);
    }
    let missed = rows.iter().filter(|row| !row.met).count();
    let _ = match missed {
        0 => writeln!(text, "\nevery target is met"),
        _ => writeln!(text, "\n{missed} of {} targets are missed, marked ✗", rows.len()),
    };
    text
}

/// The middle one of some measurements; of an even number, what is between the middle two.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    f64::midpoint(at(values.len().saturating_sub(1) / 2), at(values.len() / 2))
}

fn number(value: f64) -> String {
    if value.fract() == 0.0 {
        format!("{value:.0}")
    } else if value < 10.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.1}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_found() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(vec![4.0, 1.0, 3.0, 2.0]) - 2.5).abs() < f64::EPSILON);
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn what_is_missed_is_said() {
        let rows = [Row::at_most("a", 1.0, 2.0, " ms"), Row::at_most("b", 1.0, 0.5, " ms")];
        let text = show(&rows);
        assert!(text.contains("✗ a  ≤ 1 ms  2 ms"), "{text}");
        assert!(text.ends_with("1 of 2 targets are missed, marked ✗\n"), "{text}");
    }
}
