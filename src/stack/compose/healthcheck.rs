use crate::document::{At, Node, Problems, Read, Refusal, Scalar, Value, Whole, record};

use super::super::leaves::Period;

record! {
    /// `healthcheck`
    pub(crate) struct HealthRecord is extensible refuses refuse {
        test: Option<At<HealthTest>>,
        interval: Option<At<Period>>,
        timeout: Option<At<Period>>,
        start_period: Option<At<Period>>,
        retries: Option<u32>,
        disable: Option<bool>,
    }
}

fn refuse(key: &str) -> Option<Refusal> {
    (key == "start_interval").then_some(Refusal {
        why: "engines before version 25 do not know it",
        remedy: "remove it, and choose `interval` for the start too",
    })
}

/// What is run: `CMD` and words, `CMD-SHELL` and a line, or `NONE`.
#[derive(Debug, Clone)]
pub(crate) struct HealthTest(pub Vec<String>);

impl Read for HealthTest {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        if let Value::Scalar(Scalar { text, .. }) = &node.value {
            return Some(Self(vec!["CMD-SHELL".to_owned(), text.clone()]));
        }
        let Whole(words): Whole<String> = Read::read(node, problems)?;
        let problem = match (words.first().map(String::as_str), words.len()) {
            (Some("NONE"), 1) | (Some("CMD-SHELL"), 2) => None,
            (Some("CMD"), length) if length > 1 => None,
            (Some("NONE"), _) => Some("`NONE` takes no words"),
            (Some("CMD"), _) => Some("`CMD` needs a command"),
            (Some("CMD-SHELL"), _) => Some("`CMD-SHELL` needs one line"),
            _ => Some("the list does not begin with `CMD`, `CMD-SHELL` or `NONE`"),
        };
        if let Some(what) = problem {
            let remedy = "write for example `[\"CMD\", \"/books\", \"health\"]`";
            problems.report(&node.place, what, remedy);
            return None;
        }
        Some(Self(words))
    }
}
