//! The rig's MariaDB is a real one.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};

use crate::rig::mariadb::MariaDb;

#[tokio::test]
async fn mariadb_keeps_its_data_through_kill_and_stop() {
    let mut server = MariaDb::start();
    assert!(server.version().contains("MariaDB"), "{}", server.version());
    server.create_database("kept");
    let opts = Opts::from_url(&server.url_with_password("kept")).unwrap();

    let mut conn = Conn::new(opts.clone()).await.unwrap();
    conn.query_drop("CREATE TABLE t (n INT PRIMARY KEY)")
        .await
        .unwrap();
    conn.query_drop("INSERT INTO t VALUES (1)").await.unwrap();
    server.kill();
    assert!(Conn::new(opts.clone()).await.is_err());

    server.start_again();
    server.sql("INSERT INTO kept.t VALUES (2)");
    assert!(server.stop().success());
    server.start_again();
    let mut conn = Conn::new(opts).await.unwrap();
    let rows: Vec<u32> = conn.query("SELECT n FROM t ORDER BY n").await.unwrap();
    assert_eq!(rows, [1, 2]);
}

#[tokio::test]
async fn mariadb_wants_the_password() {
    let server = MariaDb::start();
    let url = server.url("mysql");
    let opts = Opts::from_url(&url).unwrap();
    let error = Conn::new(opts).await.unwrap_err();
    assert!(error.to_string().contains("Access denied"), "{error}");
}

#[test]
fn a_paused_server_comes_back() {
    let server = MariaDb::start();
    server.pause();
    server.resume();
    assert_eq!(server.sql("SELECT 7"), "7\n");
}
