//! The secret of the probes, and texts without it: who knows it is answered by any colour, and told who
//! answered.

/// What stands in its place.
const CONCEALED: &str = "(secret)";

/// `text` without `secret`.
pub(crate) fn concealed(text: &str, secret: &str) -> String {
    text.replace(secret, CONCEALED)
}
