//! Where the server of a domain is: SRV records (RFC 6120, XEP-0368), else the domain itself.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::RData;
use hickory_resolver::proto::rr::rdata::SRV;
use tokio::net::lookup_host;
use tokio::time::timeout;

use super::settings::{Security, Server};
use super::wire::ConnectError;

/// How long one look-up of a name may take.
const LOOKUP_LIMIT: Duration = Duration::from_secs(5);

/// Where to try to connect for this domain, best first.
pub async fn servers_of(domain: &str, security: Security) -> Result<Vec<Server>, ConnectError> {
    let itself = Server {
        host: domain.to_owned(),
        port: security.default_port(),
    };
    if domain.parse::<std::net::IpAddr>().is_ok() {
        return Ok(vec![itself]);
    }
    let name = format!("{}.{domain}.", security.srv_service());
    let Some(records) = timeout(LOOKUP_LIMIT, srv_records(&name))
        .await
        .ok()
        .flatten()
    else {
        return Ok(vec![itself]);
    };
    let servers = in_order(records, |weight| rand::random_range(0..=weight));
    if servers.is_empty() {
        return Err(ConnectError::Unreachable(format!(
            "the DNS record {name} says that {domain} offers no XMPP this way; \
             set xmpp.server or another xmpp.security"
        )));
    }
    Ok(servers)
}

/// The addresses of a server's name, as the system resolves names.
pub async fn addresses_of(server: &Server) -> Result<Vec<SocketAddr>, ConnectError> {
    let cannot = |why: String| {
        ConnectError::Unreachable(format!(
            "the name {} cannot be resolved: {why}",
            server.host
        ))
    };
    match timeout(
        LOOKUP_LIMIT,
        lookup_host((server.host.as_str(), server.port)),
    )
    .await
    {
        Err(_) => Err(cannot(format!("no answer within {LOOKUP_LIMIT:?}"))),
        Ok(Err(e)) => Err(cannot(e.to_string())),
        Ok(Ok(found)) => Ok(found.collect()),
    }
}

async fn srv_records(name: &str) -> Option<Vec<SRV>> {
    let resolver = TokioResolver::builder_tokio().ok()?.build().ok()?;
    let lookup = resolver.srv_lookup(name).await.ok()?;
    let records: Vec<SRV> = lookup
        .answers()
        .iter()
        .filter_map(|record| match &record.data {
            RData::SRV(srv) => Some(srv.clone()),
            _ => None,
        })
        .collect();
    (!records.is_empty()).then_some(records)
}

/// RFC 2782's order: by priority, within one by chance according to weight. A target of `.` says
/// that there is no such service.
fn in_order(mut records: Vec<SRV>, mut dice: impl FnMut(u32) -> u32) -> Vec<Server> {
    records.retain(|record| !record.target.is_root());
    let mut servers = Vec::with_capacity(records.len());
    while let Some(best) = records.iter().map(|record| record.priority).min() {
        let peers = || {
            records
                .iter()
                .enumerate()
                .filter(|(_, r)| r.priority == best)
        };
        let total = peers().map(|(_, record)| u32::from(record.weight)).sum();
        let mut left = dice(total);
        let chosen = peers()
            .find(|(_, record)| {
                let weight = u32::from(record.weight);
                let hit = left <= weight;
                left = left.saturating_sub(weight);
                hit
            })
            .map_or(0, |(index, _)| index);
        let record = records.swap_remove(chosen);
        servers.push(Server {
            host: record.target.to_ascii().trim_end_matches('.').to_owned(),
            port: record.port,
        });
    }
    servers
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::proto::rr::Name;

    fn record(priority: u16, weight: u16, target: &str) -> SRV {
        SRV::new(priority, weight, 5222, Name::from_ascii(target).unwrap())
    }

    fn hosts(records: Vec<SRV>, dice: impl FnMut(u32) -> u32) -> Vec<String> {
        in_order(records, dice)
            .into_iter()
            .map(|server| server.host)
            .collect()
    }

    #[test]
    fn lower_priorities_come_first() {
        let records = vec![record(20, 0, "c."), record(5, 0, "a."), record(10, 9, "b.")];
        assert_eq!(hosts(records, |_| 0), ["a", "b", "c"]);
    }

    #[test]
    fn weight_decides_by_chance() {
        let records = || vec![record(1, 10, "a."), record(1, 90, "b.")];
        assert_eq!(hosts(records(), |_| 10), ["a", "b"]);
        assert_eq!(hosts(records(), |total| total.min(11)), ["b", "a"]);
    }

    #[test]
    fn a_root_target_is_no_server() {
        assert!(hosts(vec![record(0, 0, ".")], |_| 0).is_empty());
    }
}
