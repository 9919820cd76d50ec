//! What the ratios are taken to: the plainest statements that do the same to the same tables.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, Params, Row, Value};
use rusqlite::{Connection, params};

const JOB_COLUMNS: &str =
    "owner, job_id, attempt, state, priority_neg, content_hash, accepted_at, since";

/// The jobs of a request, cut out without parsing.
fn jobs(document: &str) -> Vec<(&str, &str)> {
    let elements = document.split("<job ").skip(1);
    let job = |element: &str| -> (usize, usize) {
        let end = element.find("</job>").unwrap() + "</job>".len();
        (element.find("\" attempt").unwrap(), end)
    };
    elements
        .map(|element| {
            let (name_end, end) = job(element);
            (
                element.get("jobID=\"".len()..name_end).unwrap(),
                element.get(..end).unwrap(),
            )
        })
        .collect()
}

fn rows(row: &str, count: usize) -> String {
    vec![row; count].join(",")
}

/// MariaDB by prepared statements.
pub struct RawMysql {
    conns: Vec<Conn>,
    /// The record IDs of the last request.
    last: Range<u64>,
}

impl RawMysql {
    pub async fn connect(url: &str, clients: usize) -> Self {
        let mut conns = Vec::new();
        for _ in 0..clients {
            conns.push(Conn::new(Opts::from_url(url).unwrap()).await.unwrap());
        }
        Self { conns, last: 0..0 }
    }

    /// Each request in one transaction: a multi-row insert of the jobs, one of the payloads.
    pub async fn batches(&mut self, documents: &[Arc<String>]) {
        let conn = &mut self.conns[0];
        for document in documents {
            let jobs = jobs(document);
            conn.query_drop("START TRANSACTION").await.unwrap();
            let row = "(?,?,?,?,?,?,?,?,?)";
            let values = rows(row, jobs.len());
            let insert = format!("INSERT INTO jobs ({JOB_COLUMNS}, batch) VALUES {values}");
            let parameters = jobs.iter().flat_map(|(name, _)| job_values(name)).collect();
            conn.exec_drop(insert, Params::Positional(parameters))
                .await
                .unwrap();
            let first = conn.last_insert_id().unwrap();
            self.last = first..first + jobs.len() as u64;
            let values = rows("(?,?)", jobs.len());
            let insert = format!("INSERT INTO payloads (record_id, xml) VALUES {values}");
            let pair = |(id, (_, xml)): (u64, &(&str, &str))| [Value::from(id), Value::from(*xml)];
            let parameters = (first..).zip(&jobs).flat_map(pair).collect();
            conn.exec_drop(insert, Params::Positional(parameters))
                .await
                .unwrap();
            conn.query_drop("COMMIT").await.unwrap();
        }
    }

    /// One-row inserts, autocommit; the payload is in the row.
    pub async fn singles(&mut self, documents: &[Arc<String>], clients: usize) {
        let insert =
            format!("INSERT INTO jobs ({JOB_COLUMNS}, batch, reason) VALUES (?,?,?,?,?,?,?,?,?,?)");
        let shares = documents.chunks(documents.len() / clients);
        let work = self.conns.iter_mut().zip(shares).map(|(conn, share)| {
            let insert = &insert;
            async move {
                for document in share {
                    let (name, xml) = jobs(document)[0];
                    // A request may come to more than one client of this benchmark.
                    let name = format!("{name} of {clients}");
                    let mut parameters = job_values(&name);
                    parameters.push(xml.into());
                    conn.exec_drop(insert, Params::Positional(parameters))
                        .await
                        .unwrap();
                }
            }
        });
        futures::future::join_all(work).await;
    }

    /// One-row updates by the primary key, autocommit, of the records of the last request.
    pub async fn updates(&mut self, clients: usize) {
        let ids = self.last_ids();
        let shares = ids.chunks(ids.len() / clients);
        let work = self
            .conns
            .iter_mut()
            .zip(shares)
            .map(async |(conn, share)| {
                let update = "UPDATE jobs SET state = 'claimed' WHERE id = ?";
                for id in share {
                    conn.exec_drop(update, (id,)).await.unwrap();
                }
            });
        futures::future::join_all(work).await;
    }

    /// What one would write first: each client claims a ready job, reads it and settles it.
    pub async fn skip_locked(&mut self, clients: usize, jobs: usize) {
        let select = "SELECT id FROM jobs WHERE state = 'ready'
                      ORDER BY priority_neg, id LIMIT 1 FOR UPDATE SKIP LOCKED";
        let conns = self.conns.iter_mut().take(clients);
        let work = conns.map(async |conn| {
            for _ in 0..jobs / clients {
                conn.query_drop("START TRANSACTION").await.unwrap();
                let id: Option<u64> = conn.exec_first(select, ()).await.unwrap();
                let update = "UPDATE jobs SET state = 'claimed' WHERE id = ?";
                conn.exec_drop(update, (id.unwrap(),)).await.unwrap();
                conn.query_drop("COMMIT").await.unwrap();
                let read = "SELECT xml FROM payloads WHERE record_id = ?";
                let xml: Option<Vec<u8>> = conn.exec_first(read, (id,)).await.unwrap();
                assert!(xml.is_some());
                let update = "UPDATE jobs SET state = 'succeeded' WHERE id = ?";
                conn.exec_drop(update, (id,)).await.unwrap();
            }
        });
        futures::future::join_all(work).await;
    }

    /// The record IDs of the last request.
    pub fn last_ids(&self) -> Vec<u64> {
        self.last.clone().collect()
    }

    /// All columns of these records by one list.
    pub async fn select(&mut self, ids: &[u64]) {
        let ids: Vec<_> = ids.iter().map(Value::from).collect();
        let list = rows("?", ids.len());
        let query = format!("SELECT id, {JOB_COLUMNS} FROM jobs WHERE id IN ({list})");
        let count = ids.len();
        let found: Vec<Row> = self.conns[0]
            .exec(query, Params::Positional(ids))
            .await
            .unwrap();
        assert_eq!(found.len(), count);
    }
}

fn job_values(name: &str) -> Vec<Value> {
    vec![
        "bench".into(),
        name.into(),
        1.into(),
        "ready".into(),
        (-500).into(),
        Value::Bytes(vec![7; 32]),
        1.into(),
        1.into(),
        1.into(),
    ]
}

/// SQLite with the settings of the store.
pub struct RawSqlite {
    connection: Connection,
    /// The record IDs of the last request.
    last: Range<i64>,
}

impl RawSqlite {
    pub fn open(path: &Path) -> Self {
        let connection = Connection::open(path).unwrap();
        connection
            .pragma_update(None, "synchronous", "FULL")
            .unwrap();
        connection
            .pragma_update(None, "foreign_keys", true)
            .unwrap();
        Self {
            connection,
            last: 0..0,
        }
    }

    /// Each request in one transaction of prepared one-row statements; seconds.
    pub fn batches(&mut self, documents: &[Arc<String>]) -> f64 {
        let started = Instant::now();
        for document in documents {
            let transaction = self.connection.transaction().unwrap();
            let jobs = jobs(document);
            let mut last = 0;
            for (name, xml) in &jobs {
                let mut insert = transaction
                    .prepare_cached(&format!(
                        "INSERT INTO jobs ({JOB_COLUMNS}) VALUES (?,?,?,?,?,?,?,?)"
                    ))
                    .unwrap();
                let id = insert
                    .insert(params!["bench", name, 1, "ready", -500, [7_u8; 32], 1, 1])
                    .unwrap();
                let mut insert = transaction
                    .prepare_cached("INSERT INTO payloads (record_id, xml) VALUES (?,?)")
                    .unwrap();
                insert.execute(params![id, xml]).unwrap();
                last = id;
            }
            transaction.commit().unwrap();
            self.last = last + 1 - i64::try_from(jobs.len()).unwrap()..last + 1;
        }
        started.elapsed().as_secs_f64()
    }

    /// One-row inserts, autocommit; the payload is in the row. Seconds.
    pub fn singles(&mut self, documents: &[Arc<String>]) -> f64 {
        let started = Instant::now();
        for document in documents {
            let (name, xml) = jobs(document)[0];
            let mut insert = self
                .connection
                .prepare_cached(&format!(
                    "INSERT INTO jobs ({JOB_COLUMNS}, reason) VALUES (?,?,?,?,?,?,?,?,?)"
                ))
                .unwrap();
            insert
                .execute(params![
                    "bench", name, 1, "ready", -500, [7_u8; 32], 1, 1, xml
                ])
                .unwrap();
        }
        started.elapsed().as_secs_f64()
    }

    /// One-row updates by the primary key, autocommit, of the records of the last request;
    /// seconds.
    pub fn updates(&mut self) -> f64 {
        let started = Instant::now();
        for id in self.last.clone() {
            let update = "UPDATE jobs SET state = 'claimed' WHERE id = ?";
            let mut update = self.connection.prepare_cached(update).unwrap();
            update.execute([id]).unwrap();
        }
        started.elapsed().as_secs_f64()
    }

    /// All columns of the records of the last request by one list; seconds.
    pub fn select(&mut self) -> f64 {
        let started = Instant::now();
        let count = self.last.clone().count();
        let list = rows("?", count);
        let query = format!("SELECT id, {JOB_COLUMNS} FROM jobs WHERE id IN ({list})");
        let mut select = self.connection.prepare_cached(&query).unwrap();
        let rows = select
            .query_map(rusqlite::params_from_iter(self.last.clone()), |row| {
                let text: String = row.get(2)?;
                let hash: Vec<u8> = row.get(6)?;
                Ok((row.get::<_, i64>(0)?, text, hash))
            })
            .unwrap();
        assert_eq!(rows.map(Result::unwrap).count(), count);
        started.elapsed().as_secs_f64()
    }
}
