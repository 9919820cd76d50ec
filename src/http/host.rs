//! Refuses requests under a name of another machine: a web page can have its own name lead to a
//! loopback address (DNS rebinding), and would then read what is said here.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::HOST;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Passes requests on that name this machine, or none.
pub(super) async fn only_of_this_machine(request: Request, next: Next) -> Response {
    let named = request.headers().get_all(HOST).iter();
    let mut named = named.map(|host| host.to_str().is_ok_and(is_this_machine));
    let target = request.uri().host();
    if named.all(|ours| ours) && target.is_none_or(is_this_machine) {
        return next.run(request).await;
    }
    let why = "ask by a loopback address or localhost\n";
    (StatusCode::MISDIRECTED_REQUEST, why).into_response()
}

/// Whether it is localhost or a loopback address, with or without a port.
fn is_this_machine(host: &str) -> bool {
    let port = |end: &str| end.is_empty() || end.starts_with(':');
    let name = match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        Some((address, end)) if port(end) => address,
        Some(_) => return false,
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    let is_loopback = |address: IpAddr| address.is_loopback();
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(is_loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_this_machine() {
        let ours = [
            "localhost",
            "LOCALHOST:8470",
            "127.0.0.1",
            "127.0.0.2:1",
            "[::1]",
            "[::1]:8470",
        ];
        assert!(ours.iter().all(|host| is_this_machine(host)));
        let others = [
            "",
            "evil.example",
            "127.0.0.1.evil.example:8470",
            "localhost.evil.example",
            "192.0.2.1",
            "[::2]:8470",
            "[::1].evil.example",
        ];
        assert!(!others.iter().any(|host| is_this_machine(host)));
    }
}
