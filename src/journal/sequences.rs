use rusqlite::{OptionalExtension, params};

use super::Store;
use crate::deploy::ports::PortResult;
use crate::model::ServiceName;
use crate::sqlite::Durability;

/// How a sequence stands to the highest one that was accepted before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// It is the first or higher: it is the highest now.
    Newer,
    /// It is that very one again.
    Same,
    /// It is lower: refuse it.
    Older {
        /// The highest accepted.
        highest: u64,
    },
}

impl Store {
    /// Compare `sequence` with the highest one accepted for `service`, and remember it, durably, when
    /// it is higher; in one act, so that of two that come at once the lower cannot win.
    pub async fn accept_sequence(&self, service: &ServiceName, sequence: u64) -> PortResult<Order> {
        let name = service.to_string();
        let operation = format!("accept sequence {sequence} of service `{service}`");
        self.write(operation, Durability::Synced, move |connection| {
            let highest = highest(connection, &name)?;
            match highest {
                Some(highest) if sequence < highest => return Ok(Order::Older { highest }),
                Some(highest) if sequence == highest => return Ok(Order::Same),
                _ => {}
            }
            connection
                .prepare_cached("INSERT OR REPLACE INTO sequences VALUES (?1, ?2)")?
                .execute(params![name, sequence.cast_signed()])?;
            Ok(Order::Newer)
        })
        .await
    }

    /// The highest sequence accepted for `service`.
    pub async fn highest_sequence(&self, service: &ServiceName) -> PortResult<Option<u64>> {
        let name = service.to_string();
        let operation = format!("read the sequence of service `{service}`");
        self.read(operation, move |connection| highest(connection, &name)).await
    }
}

fn highest(connection: &rusqlite::Connection, service: &str) -> rusqlite::Result<Option<u64>> {
    connection
        .prepare_cached("SELECT highest FROM sequences WHERE service = ?1")?
        .query_row([service], |row| row.get(0))
        .optional()
        .map(|highest| highest.map(i64::cast_unsigned))
}
