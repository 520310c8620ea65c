use rusqlite::{Connection, OptionalExtension, params};

use crate::model::ServiceName;

/// Remember that `sequence` was accepted for `service`; the highest counts.
pub(super) fn accept(
    connection: &Connection,
    service: &ServiceName,
    sequence: u64,
) -> rusqlite::Result<()> {
    if highest(connection, service)?.is_some_and(|highest| sequence <= highest) {
        return Ok(());
    }
    connection
        .prepare_cached("INSERT OR REPLACE INTO sequences VALUES (?1, ?2)")?
        .execute(params![service.as_str(), sequence.cast_signed()])
        .map(drop)
}

/// The highest sequence that was accepted for `service`.
pub(super) fn highest(
    connection: &Connection,
    service: &ServiceName,
) -> rusqlite::Result<Option<u64>> {
    connection
        .prepare_cached("SELECT highest FROM sequences WHERE service = ?1")?
        .query_row([service.as_str()], |row| row.get(0))
        .optional()
        .map(|highest| highest.map(i64::cast_unsigned))
}
