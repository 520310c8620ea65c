use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rusqlite::{Connection, Transaction};
use tokio::sync::{mpsc, oneshot};

use super::{DatabaseError, Durability, OpenError};

/// Writes that may wait before a writer is held up. A flood of a gate's output is slowed down here
/// rather than kept in memory.
const QUEUE: usize = 256;

/// Most writes in one commit: bounds how long the first of them waits for the others.
const LARGEST_COMMIT: usize = 256;

/// The thread that owns the writing connection.
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(connection: Connection, path: &Path) -> Result<Self, OpenError> {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let thread = thread::Builder::new()
            .name("database".to_owned())
            .spawn(move || run(connection, jobs))
            .map_err(|source| OpenError::Thread { path: path.to_owned(), source })?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    pub(super) async fn queue(&self, job: Box<dyn Job>) -> Result<(), DatabaseError> {
        let queue = self.queue.as_ref().ok_or(DatabaseError::Stopped)?;
        queue.send(job).await.map_err(|_| DatabaseError::Stopped)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // It ends when the queue is empty; a panic over there has been reported there.
            let _ = thread.join();
        }
    }
}

fn run(mut connection: Connection, mut jobs: mpsc::Receiver<Box<dyn Job>>) {
    let mut level = None;
    while let Some(first) = jobs.blocking_recv() {
        let mut group = vec![first];
        while group.len() < LARGEST_COMMIT
            && let Ok(job) = jobs.try_recv()
        {
            group.push(job);
        }
        let result = commit(&mut connection, &mut level, &mut group).map_err(Arc::new);
        for job in group {
            job.answer(result.clone().map_err(DatabaseError::Sql));
        }
    }
}

/// Run `group` in one transaction. One that fails is undone alone and does not hurt the others.
fn commit(
    connection: &mut Connection,
    level: &mut Option<Durability>,
    group: &mut [Box<dyn Job>],
) -> rusqlite::Result<()> {
    let needed = group.iter().map(|job| job.durability()).max();
    if *level != needed {
        let word = match needed {
            Some(Durability::Synced) => "full",
            // In WAL mode: the commit is written, and synced with the next one that asks for it.
            Some(Durability::Visible) | None => "normal",
        };
        connection.pragma_update(None, "synchronous", word)?;
        *level = needed;
    }
    let mut transaction = connection.transaction()?;
    for job in group {
        job.run(&mut transaction)?;
    }
    transaction.commit()
}

/// A queued write, whatever it returns.
pub(super) trait Job: Send {
    fn durability(&self) -> Durability;

    /// Do it. The error is of the transaction; that of the write itself is kept for its answer.
    fn run(&mut self, transaction: &mut Transaction<'_>) -> rusqlite::Result<()>;

    /// Tell the one who waits, now that the transaction is `committed` or has failed.
    fn answer(self: Box<Self>, committed: Result<(), DatabaseError>);
}

/// A write and the one who waits for it.
pub(super) struct Task<T, W> {
    durability: Durability,
    work: Option<W>,
    result: Option<rusqlite::Result<T>>,
    answer: oneshot::Sender<Result<T, DatabaseError>>,
}

impl<T, W> Task<T, W> {
    pub(super) fn new(
        durability: Durability,
        work: W,
        answer: oneshot::Sender<Result<T, DatabaseError>>,
    ) -> Self {
        Self { durability, work: Some(work), result: None, answer }
    }
}

impl<T, W> Job for Task<T, W>
where
    T: Send,
    W: FnOnce(&Connection) -> rusqlite::Result<T> + Send,
{
    fn durability(&self) -> Durability {
        self.durability
    }

    fn run(&mut self, transaction: &mut Transaction<'_>) -> rusqlite::Result<()> {
        let Some(work) = self.work.take() else {
            return Ok(());
        };
        let savepoint = transaction.savepoint()?;
        // Kept first: some errors (disk full) undo the whole transaction, so that the savepoint
        // cannot be ended any more, and this one says why.
        match self.result.insert(work(&savepoint)) {
            Ok(_) => savepoint.commit(),
            Err(_) => savepoint.finish(),
        }
    }

    fn answer(self: Box<Self>, committed: Result<(), DatabaseError>) {
        let answer = match (committed, self.result) {
            (_, Some(Err(error))) => Err(error.into()),
            (Err(error), _) => Err(error),
            (Ok(()), Some(Ok(value))) => Ok(value),
            (Ok(()), None) => Err(DatabaseError::Stopped),
        };
        // Whoever does not wait any more has no use for it.
        let _ = self.answer.send(answer);
    }
}
