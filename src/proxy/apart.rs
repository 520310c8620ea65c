//! Work that takes a processor for longer than others should wait for a thread of the runtime.

use super::error::{Error, Result};

/// Do `work` on a thread of its own: a thousand certificates or services keep it busy for so long that
/// on two cores two such proxies would hold up every other one's flip.
pub(crate) async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::Ended)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::mpsc;

    use tokio::runtime::Builder;
    use tokio::task::spawn_blocking;

    /// What `work` comes to; it must wait for as long as the only other thread is busy.
    pub(crate) fn done_apart<T>(work: impl Future<Output = T>) -> T {
        let runtime = Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        runtime.block_on(async {
            let (release, held) = mpsc::channel();
            let busy = spawn_blocking(move || held.recv());
            let mut work = Box::pin(work);
            assert!(futures_util::poll!(&mut work).is_pending(), "it was done right here");
            release.send(()).unwrap();
            busy.await.unwrap().unwrap();
            work.await
        })
    }
}
