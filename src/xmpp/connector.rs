//! From nothing to a stream on which we are logged in: resolve, connect, secure, log in. Each step
//! has a time limit.

use std::borrow::Cow;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::select_ok;
use futures::{FutureExt, SinkExt};
use rustls_pki_types::CertificateDer;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_xmpp::connect::AsyncReadAndWrite;
use tokio_xmpp::stanzastream::{Connection, XmppStream};
use tokio_xmpp::xmlstream::{
    FallibleStreamElement, InitiatingStream, RecvFeaturesError, StreamHeader, Timeouts, XmlStream,
    XmppStreamElement, initiate_stream,
};
use xmpp_parsers::stream_features::StreamFeatures;
use xmpp_parsers::{ns, starttls};

use super::guard::{GuardLimits, GuardReport, Guarded, Trips};
use super::login;
use super::settings::{Security, Server, Settings};
use super::wire::{ConnectError, Wire, broken, next_element, unexpected};
use super::{srv, tls};

/// A stream that is logged in.
pub struct Established {
    /// It has no resource yet.
    pub connection: Connection,
    /// What the guard under its parser sees.
    pub report: GuardReport,
}

/// A connection before the log-in.
pub(super) struct Secured {
    /// What is sent.
    wire: Wire,
    /// What binds a log-in to this connection.
    exporter: Option<Vec<u8>>,
    /// The server's certificates, its own first; none without TLS.
    pub chain: Vec<CertificateDer<'static>>,
}

/// Opens connections to the configured server.
#[derive(Clone, Debug)]
pub struct Connector {
    settings: Arc<Settings>,
    trips: Arc<Trips>,
    doubt: bool,
}

impl Connector {
    /// One for these settings; opens nothing yet.
    #[must_use]
    pub fn new(settings: Arc<Settings>) -> Self {
        Self {
            settings,
            trips: Arc::default(),
            doubt: false,
        }
    }

    /// The same; what its guards cut short is counted here.
    #[must_use]
    pub fn counting_in(mut self, trips: Arc<Trips>) -> Self {
        self.trips = trips;
        self
    }

    /// The same; with doubt, its guards have each stanza read by all that will read it.
    pub(super) fn doubting(mut self, doubt: bool) -> Self {
        self.doubt = doubt;
        self
    }

    /// One try: a stream that is logged in and not yet bound.
    pub async fn open(&self) -> Result<Established, ConnectError> {
        let tcp = self.reach().await?;
        let report = GuardReport::counting_in(self.trips.clone()).doubting(self.doubt);
        let secured = self.secure(tcp, &report).await?;
        let (stream, features) = self.enter(secured).await?;
        let connection = Connection {
            stream,
            features,
            identity: self.settings.jid.clone().into(),
        };
        Ok(Established { connection, report })
    }

    /// The first step: somebody takes the connection.
    pub(super) async fn reach(&self) -> Result<TcpStream, ConnectError> {
        let settings = &self.settings;
        let servers = if let Some(server) = &settings.server {
            vec![server.clone()]
        } else {
            let domain =
                tls::ascii_domain(self.domain()).unwrap_or_else(|| self.domain().to_owned());
            srv::servers_of(&domain, settings.security).await?
        };
        let mut last = ConnectError::Unreachable("there is no server to connect to".into());
        for server in servers {
            match self.reach_one(&server).await {
                Ok(tcp) => return Ok(tcp),
                Err(e) => last = e,
            }
        }
        Err(last)
    }

    async fn reach_one(&self, server: &Server) -> Result<TcpStream, ConnectError> {
        let addresses = srv::addresses_of(server).await?;
        if self.settings.security == Security::Plaintext {
            only_loopback(server, &addresses)?;
        }
        if addresses.is_empty() {
            return Err(ConnectError::Unreachable(format!(
                "the name {} has no address",
                server.host
            )));
        }
        let tries = addresses
            .iter()
            .map(|address| TcpStream::connect(*address).boxed());
        let limit = self.settings.limits.connect;
        let what = format!("connecting to {server}");
        let tcp = within(
            limit,
            &what,
            select_ok(tries).map(|found| {
                found.map_err(|e| {
                    ConnectError::Unreachable(format!("{server} cannot be reached: {e}"))
                })
            }),
        );
        let (tcp, _) = tcp.await?;
        tcp.set_nodelay(true).map_err(broken)?;
        Ok(tcp)
    }

    async fn ask_for_tls(&self, tcp: TcpStream) -> Result<TcpStream, ConnectError> {
        let stream = initiate_stream(
            self.guarded(tcp, &GuardReport::counting_in(self.trips.clone())),
            ns::JABBER_CLIENT,
            self.header(),
            self.timeouts(),
        );
        let (features, mut stream) = features_of(stream.await.map_err(broken)?).await?;
        if !features.can_starttls() {
            return Err(ConnectError::Refused(
                "the server offers no STARTTLS on this port; \
                 enable TLS on the server, or set xmpp.security"
                    .into(),
            ));
        }
        let request = starttls::Nonza::Request(starttls::Request);
        stream
            .send(&XmppStreamElement::Starttls(request))
            .await
            .map_err(broken)?;
        match next_element(&mut stream).await? {
            XmppStreamElement::Starttls(starttls::Nonza::Proceed(_)) => stream
                .into_inner()
                .into_inner()
                .map_err(|tampered| ConnectError::Refused(tampered.to_string())),
            other => Err(unexpected(&other, "STARTTLS")),
        }
    }

    /// The second step: nobody else listens, as far as it is configured.
    pub(super) async fn secure(
        &self,
        tcp: TcpStream,
        report: &GuardReport,
    ) -> Result<Secured, ConnectError> {
        let limit = self.settings.limits.connect;
        match self.settings.security {
            Security::Plaintext => Ok(Secured {
                wire: Box::new(self.guarded(tcp, report)),
                exporter: None,
                chain: Vec::new(),
            }),
            Security::DirectTls => self.speak_tls(tcp, report).await,
            Security::StartTls => {
                let tcp = within(limit, "STARTTLS", Box::pin(self.ask_for_tls(tcp))).await?;
                self.speak_tls(tcp, report).await
            }
        }
    }

    /// The third step: the account and its password are accepted.
    pub(super) async fn enter(
        &self,
        secured: Secured,
    ) -> Result<(XmppStream, StreamFeatures), ConnectError> {
        let Secured { wire, exporter, .. } = secured;
        let limit = self.settings.limits.login;
        let entered = within(limit, "the log-in", self.log_in(wire, exporter)).await?;
        if entered.1.can_bind() {
            return Ok(entered);
        }
        let what = "the server does not let us bind a resource";
        Err(ConnectError::Unreachable(what.into()))
    }

    async fn speak_tls(
        &self,
        tcp: TcpStream,
        report: &GuardReport,
    ) -> Result<Secured, ConnectError> {
        let ca_file = self.settings.ca_file.clone();
        let config = tokio::task::spawn_blocking(move || tls::client_config(ca_file.as_deref()))
            .await
            .map_err(|e| ConnectError::Unreachable(format!("reading certificates: {e}")))??;
        let limit = self.settings.limits.connect;
        let tls = within(
            limit,
            "the TLS handshake",
            tls::handshake(config, self.domain(), tcp),
        )
        .await?;
        let (_, session) = tls.get_ref();
        let chain = session.peer_certificates().unwrap_or_default().to_vec();
        Ok(Secured {
            exporter: tls::exporter(&tls),
            wire: Box::new(self.guarded(tls, report)),
            chain,
        })
    }

    async fn log_in(
        &self,
        wire: Wire,
        exporter: Option<Vec<u8>>,
    ) -> Result<(XmppStream, StreamFeatures), ConnectError> {
        let stream = initiate_stream(wire, ns::JABBER_CLIENT, self.header(), self.timeouts());
        let (features, stream) = features_of(stream.await.map_err(broken)?).await?;
        let fresh: InitiatingStream<Wire> =
            login::authenticate(stream, &features, &self.settings, exporter).await?;
        let pending = fresh.send_header(self.header()).await.map_err(broken)?;
        let (features, stream) = features_of(pending).await?;
        Ok((stream, features))
    }

    fn guarded<S>(&self, socket: S, report: &GuardReport) -> Guarded<S> {
        let limits = GuardLimits::for_documents(self.settings.max_request);
        Guarded::new(socket, limits, report.clone())
    }

    fn domain(&self) -> &str {
        self.settings.jid.domain().as_str()
    }

    fn header(&self) -> StreamHeader<'_> {
        StreamHeader {
            to: Some(Cow::Borrowed(self.domain())),
            from: None,
            id: None,
        }
    }

    fn timeouts(&self) -> Timeouts {
        Timeouts {
            read_timeout: self.settings.limits.silence,
            response_timeout: self.settings.limits.response,
        }
    }
}

async fn features_of<Io>(
    pending: tokio_xmpp::xmlstream::PendingFeaturesRecv<Io>,
) -> Result<(StreamFeatures, XmlStream<Io, FallibleStreamElement>), ConnectError>
where
    Io: AsyncReadAndWrite,
{
    pending.recv_features().await.map_err(|e| match e {
        RecvFeaturesError::Io(e) => broken(e),
        RecvFeaturesError::StreamError(e) => {
            ConnectError::Unreachable(format!("the server said: {e}"))
        }
    })
}

async fn within<T>(
    limit: Duration,
    what: &str,
    step: impl Future<Output = Result<T, ConnectError>>,
) -> Result<T, ConnectError> {
    timeout(limit, step).await.unwrap_or_else(|_| {
        Err(ConnectError::Unreachable(format!(
            "{what} took longer than {limit:?}"
        )))
    })
}

fn only_loopback(server: &Server, addresses: &[SocketAddr]) -> Result<(), ConnectError> {
    match addresses.iter().find(|address| !address.ip().is_loopback()) {
        None => Ok(()),
        Some(address) => Err(ConnectError::Refused(format!(
            "xmpp.security = \"plaintext\" is for loopback addresses only, and {server} is at {}; \
             use \"starttls\" or \"direct-tls\"",
            address.ip()
        ))),
    }
}
