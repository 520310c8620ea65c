//! How the tests are to behave, and at which gate they are asked.

use std::fmt;
use std::str::FromStr;

/// The gate that runs the tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TestType {
    /// Before anything runs in production: no address to test.
    PreDeployment,
    /// Against the new instances directly.
    PreIntegration,
    /// Through every proxy.
    PostIntegration,
}

impl FromStr for TestType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "pre-deployment" => Ok(Self::PreDeployment),
            "pre-integration" => Ok(Self::PreIntegration),
            "post-integration" => Ok(Self::PostIntegration),
            _ => Err(format!(
                "`{text}` is none of pre-deployment, pre-integration and post-integration"
            )),
        }
    }
}

impl fmt::Display for TestType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PreDeployment => "pre-deployment",
            Self::PreIntegration => "pre-integration",
            Self::PostIntegration => "post-integration",
        })
    }
}

/// Parsed from `TESTS_MODE`: words separated by commas, all of which hold.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Mode {
    fail: Occasion,
    hang: Occasion,
    /// Whether to write `JUnit`.
    pub junit: bool,
}

/// When something is done.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Occasion {
    #[default]
    Never,
    Always,
    At(TestType),
}

impl Occasion {
    fn comes_at(self, kind: TestType) -> bool {
        match self {
            Self::Never => false,
            Self::Always => true,
            Self::At(wanted) => wanted == kind,
        }
    }
}

impl Mode {
    /// Whether a test fails on purpose at this gate.
    pub fn fails(self, kind: TestType) -> bool {
        self.fail.comes_at(kind)
    }

    /// Whether to hang at this gate.
    pub fn hangs(self, kind: TestType) -> bool {
        self.hang.comes_at(kind)
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut mode = Self::default();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word.split_once('=') {
                None if word == "pass" => {}
                None if word == "fail" => mode.fail = Occasion::Always,
                None if word == "hang" => mode.hang = Occasion::Always,
                None if word == "junit" => mode.junit = true,
                Some(("fail-on", kind)) => mode.fail = Occasion::At(kind.parse()?),
                Some(("hang-on", kind)) => mode.hang = Occasion::At(kind.parse()?),
                _ => {
                    return Err(format!(
                        "`{word}` is none of pass, fail, hang, junit, fail-on=TYPE and hang-on=TYPE"
                    ));
                }
            }
        }
        Ok(mode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_add_up() {
        let mode: Mode = "junit, fail-on=pre-integration".parse().unwrap();
        assert!(mode.junit);
        assert!(mode.fails(TestType::PreIntegration));
        assert!(!mode.fails(TestType::PostIntegration));
        assert!(!mode.hangs(TestType::PreIntegration));
    }

    #[test]
    fn refuses_other_words() {
        assert!("explode".parse::<Mode>().is_err());
        assert!("fail-on=lunch".parse::<Mode>().is_err());
    }
}
