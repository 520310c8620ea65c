//! The ways in which a release can be broken, chosen by `BOOKS_FAULT`.

use std::str::FromStr;
use std::time::Duration;

/// What is wrong with this instance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Ends with an error before it listens.
    ExitAtStart,
    /// Ends with an error this long after it began to listen.
    ExitAfter(Duration),
    /// `/health` always fails.
    NeverHealthy,
    /// `/health` fails until this long after the start.
    HealthyLate(Duration),
    /// `/health` fails from this long after the start.
    UnhealthyAfter(Duration),
    /// Answers 200 with a catalogue that lost its books.
    WrongAnswers,
    /// Fails whatever came through a proxy.
    RightOnlyDirect,
    /// Fails whatever came to the proxy by HTTPS.
    HttpOnly,
    /// Answers 500 from this long after the start.
    ErrorsAfter(Duration),
    /// Answers 500 once it has answered this many requests.
    ErrorsAfterRequests(u64),
    /// Answers 500 to this share of requests, 0 to 1, evenly spread.
    ErrorsRatio(f64),
}

/// `BOOKS_FAULT` says something that is no fault.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum FaultError {
    /// No such fault.
    #[error(
        "`BOOKS_FAULT` is `{0}`: known are exit-at-start, exit-after=SECONDS, never-healthy, \
         healthy-late=SECONDS, unhealthy-after=SECONDS, wrong-answers, right-only-direct, \
         http-only, errors-after=SECONDS, errors-after-requests=N and errors-ratio=0..1"
    )]
    Unknown(String),
    /// A fault whose number is missing or no number.
    #[error("`BOOKS_FAULT` is `{fault}`: `{number}` is not {wanted}")]
    Number {
        /// The whole value.
        fault: String,
        /// What stands after `=`.
        number: String,
        /// What should.
        wanted: &'static str,
    },
}

impl Fault {
    /// Reads `BOOKS_FAULT`; unset or empty means [`Fault::None`].
    pub fn from_environment() -> Result<Self, FaultError> {
        std::env::var("BOOKS_FAULT").map_or(Ok(Self::None), |text| text.parse())
    }
}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let (name, number) = text.split_once('=').unwrap_or((text, ""));
        let bad = |wanted| FaultError::Number {
            fault: text.to_owned(),
            number: number.to_owned(),
            wanted,
        };
        let seconds = || {
            let seconds = number.parse::<f64>().map_err(|_| bad("a number of seconds"))?;
            Duration::try_from_secs_f64(seconds).map_err(|_| bad("a number of seconds"))
        };
        let ratio = || match number.parse::<f64>() {
            Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
            _ => Err(bad("a share from 0 to 1")),
        };
        Ok(match name {
            "" | "none" => Self::None,
            "exit-at-start" => Self::ExitAtStart,
            "exit-after" => Self::ExitAfter(seconds()?),
            "never-healthy" => Self::NeverHealthy,
            "healthy-late" => Self::HealthyLate(seconds()?),
            "unhealthy-after" => Self::UnhealthyAfter(seconds()?),
            "wrong-answers" => Self::WrongAnswers,
            "right-only-direct" => Self::RightOnlyDirect,
            "http-only" => Self::HttpOnly,
            "errors-after" => Self::ErrorsAfter(seconds()?),
            "errors-after-requests" => {
                Self::ErrorsAfterRequests(number.parse().map_err(|_| bad("a number of requests"))?)
            }
            "errors-ratio" => Self::ErrorsRatio(ratio()?),
            _ => return Err(FaultError::Unknown(text.to_owned())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_each_kind() {
        let five = Duration::from_secs(5);
        for (text, fault) in [
            ("", Fault::None),
            ("exit-at-start", Fault::ExitAtStart),
            ("exit-after=5", Fault::ExitAfter(five)),
            ("healthy-late=0.5", Fault::HealthyLate(Duration::from_millis(500))),
            ("errors-after-requests=7", Fault::ErrorsAfterRequests(7)),
            ("errors-ratio=0.25", Fault::ErrorsRatio(0.25)),
        ] {
            assert_eq!(text.parse(), Ok(fault), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_fault() {
        for text in ["explode", "exit-after", "exit-after=-1", "exit-after=NaN", "errors-ratio=2"] {
            assert!(text.parse::<Fault>().is_err(), "{text}");
        }
    }
}
