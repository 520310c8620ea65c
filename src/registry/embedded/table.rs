//! A service's record as rows.

use std::collections::BTreeMap;
use std::error::Error;
use std::str::FromStr;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::model::{
    Colour, Instance, Registration, ReleaseId, ServiceName, ServiceRecord, Standing,
};

/// What leads from format `n` to `n + 1`. Never changed once released, only added to.
pub(super) const MIGRATIONS: &[&str] = &["
    CREATE TABLE services (
        name    TEXT PRIMARY KEY,
        colour  TEXT,                       -- the last committed one
        route   TEXT                        -- JSON
    ) WITHOUT ROWID;
    CREATE TABLE instances (
        service   TEXT NOT NULL REFERENCES services ON DELETE CASCADE,
        task      TEXT NOT NULL,
        node      TEXT NOT NULL,
        address   TEXT NOT NULL,
        colour    TEXT NOT NULL,
        standing  TEXT NOT NULL,
        release   TEXT NOT NULL,
        image     TEXT NOT NULL,
        PRIMARY KEY (service, task)
    ) WITHOUT ROWID;
"];

const INSTANCE: &str = "task, node, address, colour, standing, release, image";

/// A row that the model does not understand, in words; nobody but a hand at the file makes one.
type Readable<T> = Result<T, String>;

/// The record of `service`.
pub(super) fn load(
    connection: &Connection,
    service: &str,
) -> rusqlite::Result<Readable<ServiceRecord>> {
    let head = connection
        .prepare_cached("SELECT colour, route FROM services WHERE name = ?1")?
        .query_row([service], |row| Ok(head(row, 0)))
        .optional()?;
    let Some(head) = head else {
        return Ok(Ok(ServiceRecord::default()));
    };
    let instances: Readable<Vec<_>> = connection
        .prepare_cached(&format!("SELECT {INSTANCE} FROM instances WHERE service = ?1"))?
        .query_map([service], |row| Ok(registration(row, 0)))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(head.and_then(|record| Ok(with(record, instances?))))
}

/// The records of all services that can be read.
pub(super) fn load_all(
    connection: &Connection,
) -> rusqlite::Result<BTreeMap<ServiceName, ServiceRecord>> {
    let mut records: BTreeMap<String, Readable<ServiceRecord>> = connection
        .prepare_cached("SELECT name, colour, route FROM services")?
        .query_map([], |row| Ok((row.get(0)?, head(row, 1))))?
        .collect::<rusqlite::Result<_>>()?;
    let mut statement =
        connection.prepare_cached(&format!("SELECT service, {INSTANCE} FROM instances"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let service: String = row.get(0)?;
        if let Some(record) = records.get_mut(&service) {
            add(record, registration(row, 1));
        }
    }
    Ok(records.into_iter().filter_map(readable).collect())
}

/// Put `record` in the place of what is held of `service`.
pub(super) fn replace(
    connection: &Connection,
    service: &str,
    record: &ServiceRecord,
) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM services WHERE name = ?1")?.execute([service])?;
    if record.is_empty() {
        return Ok(());
    }
    let colour = record.colour.map(Colour::as_str);
    let route = record
        .route
        .as_ref()
        .map(serde_json::to_string)
        .transpose()
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    connection
        .prepare_cached("INSERT INTO services VALUES (?1, ?2, ?3)")?
        .execute(params![service, colour, route])?;
    let mut insert = connection
        .prepare_cached("INSERT INTO instances VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?;
    for (task, entry) in &record.instances {
        insert.execute(params![
            service,
            task,
            entry.instance.node,
            entry.instance.address.to_string(),
            entry.colour.as_str(),
            entry.standing.as_str(),
            entry.release.as_str(),
            entry.image,
        ])?;
    }
    Ok(())
}

fn with(mut record: ServiceRecord, instances: Vec<Registration>) -> ServiceRecord {
    record.instances =
        instances.into_iter().map(|entry| (entry.instance.task.clone(), entry)).collect();
    record
}

fn add(record: &mut Readable<ServiceRecord>, entry: Readable<Registration>) {
    match (record.as_mut(), entry) {
        (Ok(record), Ok(entry)) => {
            record.instances.insert(entry.instance.task.clone(), entry);
        }
        (Ok(_), Err(problem)) => *record = Err(problem),
        (Err(_), _) => {}
    }
}

fn readable(
    (name, record): (String, Readable<ServiceRecord>),
) -> Option<(ServiceName, ServiceRecord)> {
    let parsed = name.parse().map_err(|error| format!("its name: {error}"));
    parsed
        .and_then(|service| Ok((service, record?)))
        .inspect_err(|problem| {
            tracing::warn!(service = name, problem, "rows in the registry cannot be read");
        })
        .ok()
}

/// Colour and route, from column `first` on.
fn head(row: &Row<'_>, first: usize) -> Readable<ServiceRecord> {
    let colour: Option<String> = column(row, first)?;
    let route: Option<String> = column(row, first + 1)?;
    Ok(ServiceRecord {
        instances: BTreeMap::new(),
        colour: colour.map(|text| parse(&text, "colour")).transpose()?,
        route: route
            .map(|text| serde_json::from_str(&text).map_err(|error| format!("its route: {error}")))
            .transpose()?,
    })
}

/// The columns [`INSTANCE`], from column `first` on.
fn registration(row: &Row<'_>, first: usize) -> Readable<Registration> {
    let text = |offset| column::<String>(row, first + offset);
    Ok(Registration {
        instance: Instance {
            task: text(0)?,
            node: text(1)?,
            address: parse(&text(2)?, "address")?,
        },
        colour: parse(&text(3)?, "colour")?,
        standing: match text(4)?.as_str() {
            "live" => Standing::Live,
            "idle" => Standing::Idle,
            other => return Err(format!("its standing is `{other}`, not `live` or `idle`")),
        },
        release: ReleaseId::from(text(5)?),
        image: text(6)?,
    })
}

fn column<T: rusqlite::types::FromSql>(row: &Row<'_>, at: usize) -> Readable<T> {
    row.get(at).map_err(|error| error.to_string())
}

fn parse<T>(text: &str, what: &str) -> Readable<T>
where
    T: FromStr,
    T::Err: Error,
{
    text.parse().map_err(|error| format!("its {what} `{text}`: {error}"))
}
