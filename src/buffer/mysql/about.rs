//! What the server tells of itself: its time, its version.

use jiff::Timestamp;
use mysql_async::prelude::{FromValue, Queryable};

use super::connect::{Server, disconnect, open_error};
use crate::buffer::{MysqlUrl, OpenError, Options};

/// Microseconds since 1970, at the moment of asking.
const TIME: &str = "SELECT CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)";

const VERSION: &str = "SELECT CONCAT(@@version_comment, ' ', @@version)";

/// What time it is at the server.
pub(in crate::buffer) async fn time(
    url: &MysqlUrl,
    options: &Options,
) -> Result<Timestamp, OpenError> {
    let told: Option<i64> = ask(url, options, TIME).await?;
    let time = told.and_then(|microseconds| Timestamp::from_microsecond(microseconds).ok());
    time.ok_or_else(|| OpenError::Invalid("the server does not know the time".to_owned()))
}

/// Which server it is.
pub(in crate::buffer) async fn version(
    url: &MysqlUrl,
    options: &Options,
) -> Result<String, OpenError> {
    let told = ask(url, options, VERSION).await?;
    told.ok_or_else(|| OpenError::Invalid("the server does not know its version".to_owned()))
}

async fn ask<T: FromValue + Send + 'static>(
    url: &MysqlUrl,
    options: &Options,
    query: &str,
) -> Result<Option<T>, OpenError> {
    let server = Server::new(url, options).await?;
    let mut conn = server.connect().await.map_err(|why| open_error(&why))?;
    let told: Result<Option<T>, _> = conn.query_first(query).await;
    disconnect(conn, server.limit).await;
    told.map_err(|why| open_error(&why))
}
