//! What a template asks for.

use super::source::Source;

/// What a template asks for. What it does not mention is not made for it; and what it does mention
/// can only be changed by rendering and reading it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asks {
    /// The servers of a colour, as they are.
    pub servers: bool,
    /// Server slots, whose addresses are set at run time.
    pub slots: bool,
    /// Hosts, paths and the other parts of rules.
    pub rules: bool,
}

impl Asks {
    /// What the code of `source` mentions, in whichever way: `colour.servers`, `colour["servers"]`.
    pub fn of(source: &Source) -> Self {
        let texts: Vec<String> = source.texts().map(|(_, text)| text).collect();
        let mentions = |wanted: &[&str]| {
            let mut words = texts.iter().flat_map(|text| code(text)).flat_map(words);
            words.any(|word| wanted.contains(&word))
        };
        Self {
            servers: mentions(&["servers"]),
            slots: mentions(&["slots"]),
            rules: mentions(&["hosts", "path", "tls", "sizes"]),
        }
    }
}

/// What stands between `{{` and `}}` or between `{%` and `%}`.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let between = |open: &'static str, close: &'static str| {
        text.split(open).skip(1).map(move |part| part.split(close).next().unwrap_or_default())
    };
    between("{{", "}}").chain(between("{%", "%}"))
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn asks(text: &str) -> Asks {
        let main = "a.tera".to_owned();
        let files = BTreeMap::from([(main.clone(), text.to_owned())]);
        Asks::of(&Source { main, files, ..Source::default() })
    }

    #[test]
    fn it_does_not_matter_how_something_is_mentioned() {
        for text in ["{% for s in colour.servers %}", "{{ colour['servers'] | length }}"] {
            assert!(asks(text).servers, "{text}");
        }
        assert!(asks("{{ services | map(attribute=\"path\") }}").rules);
    }

    #[test]
    fn what_is_no_code_mentions_nothing() {
        let nothing = Asks { servers: false, slots: false, rules: false };
        assert_eq!(asks("# servers, %[path]\n{# colour.slots #}{{ service.name }}"), nothing);
    }
}
