//! What time it is at the server.

use jiff::Timestamp;
use mysql_async::prelude::Queryable;

use super::connect::{Server, disconnect, open_error};
use crate::buffer::{MysqlUrl, OpenError, Options};

/// Microseconds since 1970, at the moment of asking.
const QUERY: &str = "SELECT CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)";

/// What time it is at the server.
pub(in crate::buffer) async fn time(
    url: &MysqlUrl,
    options: &Options,
) -> Result<Timestamp, OpenError> {
    let server = Server::new(url, options).await?;
    let mut conn = server.connect().await.map_err(|why| open_error(&why))?;
    let told: Result<Option<i64>, _> = conn.query_first(QUERY).await;
    disconnect(conn, server.limit).await;
    let told = told.map_err(|why| open_error(&why))?;
    let time = told.and_then(|microseconds| Timestamp::from_microsecond(microseconds).ok());
    time.ok_or_else(|| OpenError::Invalid("the server does not know the time".to_owned()))
}
