use rusqlite::{Connection, Row, params};

use super::Store;
use super::records::parsed;
use crate::deploy::ports::{Past, PortError, PortResult, Trouble};
use crate::model::{DeploymentId, DeploymentView};
use crate::sqlite::Durability;

/// The form of summaries. One of another form is not used, and made anew: to be raised when the same
/// journal is summed up in another way.
const FORM: u32 = 2;

/// A deployment, and its summary if there is one.
type Summed = (DeploymentId, Option<DeploymentView>);

impl Store {
    pub(super) async fn read_summaries(
        &self,
        past: Past<'_>,
        limit: usize,
    ) -> PortResult<Vec<Summed>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let sql = select(past);
        let service = match past {
            Past::All => None,
            Past::Of(service) | Past::Committed(service) => Some(service.to_string()),
        };
        self.read("list deployments".to_owned(), move |connection| {
            connection
                .prepare_cached(&sql)?
                .query_map(params![FORM, limit, service], summed)?
                .collect()
        })
        .await
    }

    pub(super) async fn keep_summary(
        &self,
        summary: &DeploymentView,
        records: usize,
    ) -> PortResult<()> {
        let id = summary.id.to_string();
        let operation = format!("keep the summary of deployment `{id}`");
        let invalid = |error| PortError::new(Trouble::Invalid, &operation).because(error);
        let body = serde_json::to_string(summary).map_err(invalid)?;
        let records = i64::try_from(records).unwrap_or(i64::MAX);
        self.write(operation, Durability::Visible, move |connection| {
            insert(connection, &id, records, &body)
        })
        .await
    }
}

/// What reads the newest of `past`, and nothing of their journals.
fn select(past: Past<'_>) -> String {
    // The third parameter is there in any case.
    let which = match past {
        Past::All => "?3 IS NULL",
        Past::Of(_) => "service = ?3",
        Past::Committed(_) => "service = ?3 AND outcome = 'committed'",
    };
    format!(
        "SELECT id, CAST(body AS BLOB) FROM deployments
         LEFT JOIN summaries ON deployment = id AND records = next AND form = ?1
         WHERE {which} ORDER BY id DESC LIMIT ?2"
    )
}

fn summed(row: &Row<'_>) -> rusqlite::Result<Summed> {
    let body: Option<Vec<u8>> = row.get(1)?;
    Ok((parsed(row, 0)?, body.and_then(|body| serde_json::from_slice(&body).ok())))
}

/// A deployment that is not kept any more needs no summary.
fn insert(connection: &Connection, id: &str, records: i64, body: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO summaries (deployment, records, form, body)
             SELECT id, ?2, ?3, ?4 FROM deployments WHERE id = ?1",
        )?
        .execute(params![id, records, FORM, body])
        .map(drop)
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;
    use crate::journal::{Retention, StateDir};

    /// The steps of the database's machine that listing `past` takes, and whole tables that it scans.
    fn cost(connection: &Connection, past: Past<'_>) -> (i32, i32) {
        let mut statement = connection.prepare(&select(past)).unwrap();
        let service = match past {
            Past::All => None,
            Past::Of(service) | Past::Committed(service) => Some(service.as_str()),
        };
        let rows = statement.query_map(params![FORM, 5, service], summed).unwrap();
        assert_eq!(rows.map(Result::unwrap).count(), 5);
        let of = |status| statement.get_status(status);
        (of(StatementStatus::VmStep), of(StatementStatus::Sort))
    }

    #[tokio::test]
    async fn a_list_costs_what_it_is_long_however_much_there_is() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDir::lock(directory.path()).unwrap();
        let store = Store::open(&state, Retention::default()).await.unwrap();
        let hand = Connection::open(directory.path().join("verdigris.db")).unwrap();
        let fill = |count: usize| {
            for number in 0..count {
                let (id, service) = (DeploymentId::new().to_string(), ["a", "b"][number % 2]);
                let outcome = if number % 10 < 2 { "committed" } else { "reverted" };
                let deployment = "INSERT INTO deployments VALUES (?1, ?2, 1, ?3)";
                hand.execute(deployment, params![id, service, outcome]).unwrap();
                let record = "INSERT INTO records VALUES (?1, 0, '', 1, '')";
                hand.execute(record, [id.as_str()]).unwrap();
                insert(&hand, &id, 1, "").unwrap();
            }
        };
        let service = "a".parse().unwrap();
        let all = [Past::All, Past::Of(&service), Past::Committed(&service)];
        hand.execute_batch("BEGIN").unwrap();
        fill(60);
        let few = all.map(|past| cost(&hand, past));
        fill(3000);
        let many = all.map(|past| cost(&hand, past));
        assert_eq!(few, many);
        drop(store);
    }
}
