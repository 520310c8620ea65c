/// Below this likeness (Jaro-Winkler, 0 to 1) a suggestion puzzles more than it helps.
const ALIKE: f64 = 0.8;

/// The one of `known` that `word` was probably meant to be.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (likeness(word, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, candidate)| candidate)
}

/// In short words one slip changes too much for Jaro and Winkler.
fn likeness(word: &str, candidate: &str) -> f64 {
    let slips = strsim::damerau_levenshtein(word, candidate);
    if slips <= 1 { 1.0 } else { strsim::jaro_winkler(word, candidate) }
}
