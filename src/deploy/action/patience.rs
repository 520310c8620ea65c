use std::time::Duration;

use tokio::time::Instant;

use crate::deploy::ports::{PortError, PortResult, Trouble};

/// How long somebody who does not answer is put up with.
const PATIENCE: Duration = Duration::from_secs(20);

/// Patience with one who is asked again and again.
#[derive(Debug, Default)]
pub struct Patience {
    silent_since: Option<Instant>,
}

impl Patience {
    /// The answer, if there is one; none when it is to be asked again.
    pub fn with<T>(&mut self, answer: PortResult<T>) -> PortResult<Option<T>> {
        match answer {
            Ok(answer) => {
                self.silent_since = None;
                Ok(Some(answer))
            }
            Err(error) if self.bears(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn bears(&mut self, error: &PortError) -> bool {
        let since = *self.silent_since.get_or_insert_with(Instant::now);
        error.trouble == Trouble::Unreachable && since.elapsed() < PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(trouble: Trouble) -> PortResult<()> {
        Err(PortError::new(trouble, "ask"))
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_long_silence_is_an_answer() {
        let mut patience = Patience::default();
        for _ in 0..3 {
            assert_eq!(patience.with(fails(Trouble::Unreachable)).unwrap(), None);
            tokio::time::sleep(PATIENCE / 2).await;
            assert_eq!(patience.with(Ok(())).unwrap(), Some(()));
        }
        assert_eq!(patience.with(fails(Trouble::Unreachable)).unwrap(), None);
        tokio::time::sleep(PATIENCE).await;
        assert!(patience.with(fails(Trouble::Unreachable)).is_err());
        assert!(Patience::default().with(fails(Trouble::Denied)).is_err());
    }
}
