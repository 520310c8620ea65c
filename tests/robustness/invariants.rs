//! What holds for every text, however broken: shared by the bounded run here and the fuzz targets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use verdigris::config;
use verdigris::model::{Draft, GatePoint};
use verdigris::stack::{self, LoadError, Options, Problems, Source};

/// A stack file gives drafts that keep their promises, or problems that can be acted upon.
pub fn check_stack(text: &str) {
    let options = Options {
        environment: [("TAG", "1.0"), ("EMPTY", "")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        ..Options::default()
    };
    // Nothing is there, so that texts cannot name files that are.
    let base = PathBuf::from("/nonexistent");
    let source = Source { name: "stack.yml".to_owned(), text: text.to_owned(), base };
    match stack::load(&source, &options) {
        Ok(drafts) => {
            assert!(!drafts.is_empty(), "neither drafts nor problems");
            drafts.iter().for_each(check_draft);
        }
        Err(LoadError::Invalid(problems)) => check_problems(&problems, text),
        Err(error) => panic!("{error}"),
    }
}

/// A configuration is valid or has problems that can be acted upon.
pub fn check_config(text: &str) {
    match config::parse(Path::new("/etc/verdigris.toml"), text, BTreeMap::new()) {
        Ok(config) => {
            assert!(!config.daemon.listen.is_empty());
            assert!(config.proxies.iter().all(|proxy| proxy.output.is_absolute()));
        }
        Err(problems) => check_problems(&problems, text),
    }
}

fn check_problems(problems: &Problems, text: &str) {
    assert!(!problems.is_empty(), "refused without a problem");
    // To YAML a carriage return alone ends a line, too.
    let lines = text.matches(['\n', '\r']).count() + 1;
    for problem in problems {
        let line = usize::try_from(problem.place.line).unwrap_or(usize::MAX);
        assert!((1..=lines).contains(&line), "{problem} is outside of {lines} lines");
        assert!(problem.place.column >= 1, "{problem}");
        assert!(!problem.what.is_empty() && !problem.remedy.is_empty(), "{problem}");
    }
}

fn check_draft(draft: &Draft) {
    let json = serde_json::to_string(draft).unwrap_or_else(|error| panic!("{error}"));
    let back: Draft = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}"));
    assert_eq!(&back, draft, "a stored draft comes back changed");
    let checked = stack::check(draft);
    checked.unwrap_or_else(|problems| panic!("refused at the API's door: {problems}\n{json}"));
    let policy = &draft.policy;
    assert!(policy.port != 0 && draft.workload.replicas != 0 && policy.retain.releases <= 1);
    if let Some(route) = &policy.route {
        let host = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-".contains(c);
        assert!(!route.hosts.is_empty() && route.hosts.iter().all(|it| it.chars().all(host)));
        let path = |c: char| c.is_ascii_alphanumeric() || "/._~-".contains(c);
        assert!(route.path.starts_with('/') && route.path.chars().all(path), "{}", route.path);
    }
    for point in [GatePoint::PreDeployment, GatePoint::PreIntegration, GatePoint::PostIntegration] {
        let gates = policy.gates.at(point);
        for (index, gate) in gates.iter().enumerate() {
            assert!(!gates[..index].iter().any(|earlier| earlier.name == gate.name));
        }
    }
}
