use super::StateDir;
use crate::sqlite::{Database, OpenError};

/// The file in the state directory.
const FILE: &str = "verdigris.db";

/// What leads from format `n` to `n + 1`. Never changed once released, only added to.
///
/// Times are RFC 3339 in UTC, ids as they are shown, bodies JSON: a person with the `sqlite3` shell
/// can read everything.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE deployments (
        id       TEXT PRIMARY KEY,          -- sorts by the time it was made
        service  TEXT NOT NULL,
        next     INTEGER NOT NULL,          -- position of the record to come
        outcome  TEXT                       -- the last record's, if that is an end
    ) WITHOUT ROWID;
    CREATE INDEX deployments_of_service ON deployments (service, id);
    CREATE INDEX unfinished ON deployments (id) WHERE outcome IS NULL;

    CREATE TABLE records (
        deployment  TEXT NOT NULL REFERENCES deployments ON DELETE CASCADE,
        seq         INTEGER NOT NULL,
        at          TEXT NOT NULL,
        version     INTEGER NOT NULL,       -- of the body's form
        body        TEXT NOT NULL,
        PRIMARY KEY (deployment, seq)
    );

    -- Records that cannot be read any more, kept for a person.
    CREATE TABLE quarantine (
        deployment  TEXT NOT NULL,
        seq         INTEGER NOT NULL,
        at          TEXT NOT NULL,
        version     INTEGER NOT NULL,
        body        BLOB NOT NULL,
        problem     TEXT NOT NULL,
        PRIMARY KEY (deployment, seq)
    );

    CREATE TABLE events (
        deployment  TEXT NOT NULL REFERENCES deployments ON DELETE CASCADE,
        seq         INTEGER NOT NULL,
        body        TEXT NOT NULL,
        PRIMARY KEY (deployment, seq)
    ) WITHOUT ROWID;

    CREATE TABLE sequences (
        service  TEXT PRIMARY KEY,
        highest  INTEGER NOT NULL           -- u64, kept as its two's complement
    ) WITHOUT ROWID;

    CREATE TABLE meta (
        key    TEXT PRIMARY KEY,
        value  TEXT NOT NULL
    ) WITHOUT ROWID;
", "
    -- Deployments that ended, as lists show them: so that a list folds no journals.
    CREATE TABLE summaries (
        deployment  TEXT PRIMARY KEY REFERENCES deployments ON DELETE CASCADE,
        records     INTEGER NOT NULL,       -- of the journal that it tells; it counts while these are all
        form        INTEGER NOT NULL,       -- of the body
        body        TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX committed ON deployments (service, id) WHERE outcome = 'committed';
"];

pub(super) fn open(state: &StateDir) -> Result<Database, OpenError> {
    Database::open(&state.path().join(FILE), MIGRATIONS)
}
