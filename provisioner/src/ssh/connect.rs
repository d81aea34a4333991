use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use rustix::net::sockopt;
use ssh2::{MethodType, Session};

use super::bastion;
use super::turns::{doorstep, in_turns, whole};
use super::{HostKey, SshError, Trust};
use crate::inventory::SshSettings;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A command that says nothing for this long hangs; a unit may take up to 120 s to start.
/// (libssh2's keep-alive is not used: it cuts every wait at its interval.)
const SILENCE_TIMEOUT: Duration = Duration::from_secs(130);
/// A host whose kernel has acknowledged nothing for this long is gone.
const GONE_AFTER: Duration = Duration::from_secs(30);
/// How often an idle connection's other end is asked whether it is there.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);

/// A host that accepts a connection and then says nothing must not hold up the others for long.
const KEY_EXCHANGE_TIMEOUT: Duration = Duration::from_secs(10);

/// Whom to connect to and how.
#[derive(Clone, Debug)]
pub struct Target {
    pub host: String,
    pub settings: SshSettings,
    pub trust: Trust,
}

/// A logged-in session with one host.
pub struct Connection {
    pub(super) session: Session,
    pub(super) sudo: bool,
    /// The socket below the session, to wait on.
    pub(super) wire: OwnedFd,
    // The bastion's session ends with this one.
    _bastion: Option<bastion::Relay>,
}

impl Connection {
    pub fn open(target: &Target) -> Result<Connection, SshError> {
        let port = target.settings.port;
        let address = format!("{}:{port}", target.host);
        let _turn = target.settings.bastion.as_ref().map(|_| doorstep());
        let (mut session, wire, relay) = transport(target)?;
        let preferred = target.trust.preferred(&target.host, port);
        handshake(&mut session, &wire, &address, &preferred)?;
        let key = shown_key(&session, &address)?;
        target.trust.check(&target.host, port, &key)?;
        login(&session, &wire, &target.settings, &target.settings.user, &address)?;
        Ok(Connection {
            wire,
            session,
            sudo: target.settings.sudo,
            _bastion: relay,
        })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // The other side sees a proper end; if it is gone already nothing is lost.
        self.session.set_timeout(1_000);
        let _ = self.session.disconnect(None, "done", None);
    }
}

/// The key that a host shows, unchecked: for `hardway trust`.
pub fn fetch_host_key(target: &Target) -> Result<HostKey, SshError> {
    let address = format!("{}:{}", target.host, target.settings.port);
    let (mut session, wire, _relay) = transport(target)?;
    handshake(&mut session, &wire, &address, &["ssh-ed25519".to_owned()])?;
    shown_key(&session, &address)
}

type Transport = (Session, OwnedFd, Option<bastion::Relay>);

fn transport(target: &Target) -> Result<Transport, SshError> {
    let wire = |stream: &dyn AsFd| {
        stream
            .as_fd()
            .try_clone_to_owned()
            .map_err(|error| bastion::local(&error))
    };
    match &target.settings.bastion {
        None => {
            let stream = dial(&target.host, target.settings.port)?;
            let wire = wire(&stream)?;
            Ok((session_over(stream)?, wire, None))
        }
        Some(bastion) => {
            let (stream, relay) = bastion::open(bastion, target)?;
            let wire = wire(&stream)?;
            Ok((session_over(stream)?, wire, Some(relay)))
        }
    }
}

pub(super) fn session_over<S: AsRawFd + 'static>(stream: S) -> Result<Session, SshError> {
    let mut session = Session::new().map_err(|error| SshError::Local {
        what: "libssh2".to_owned(),
        reason: error.to_string(),
    })?;
    session.set_timeout(SILENCE_TIMEOUT.as_millis() as u32);
    session.set_tcp_stream(stream);
    Ok(session)
}

pub(super) fn dial(host: &str, port: u16) -> Result<TcpStream, SshError> {
    let unreachable = |reason: String| SshError::Unreachable {
        address: format!("{host}:{port}"),
        reason,
    };
    let mut last = "the name has no address".to_owned();
    let addresses = (host, port)
        .to_socket_addrs()
        .map_err(|error| unreachable(error.to_string()))?;
    for address in addresses {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(stream) => {
                watched(&stream).map_err(|error| unreachable(error.to_string()))?;
                return Ok(stream);
            }
            Err(error) => last = error.to_string(),
        }
    }
    Err(unreachable(last))
}

/// Also while a command says nothing, the kernel notices that the other end has gone.
fn watched(stream: &TcpStream) -> std::io::Result<()> {
    // Small requests and answers alternate.
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, PROBE_INTERVAL)?;
    sockopt::set_tcp_keepintvl(stream, PROBE_INTERVAL)?;
    sockopt::set_tcp_user_timeout(stream, GONE_AFTER.as_millis() as u32)?;
    Ok(())
}

pub(super) fn handshake(
    session: &mut Session,
    wire: &impl AsFd,
    address: &str,
    preferred: &[String],
) -> Result<(), SshError> {
    if !preferred.is_empty() {
        // The known types first, the others behind them: a host that lost the known type is then reported
        // as changed, not as "unable to exchange encryption keys".
        let mut types: Vec<String> = preferred
            .iter()
            .flat_map(|algorithm| signatures(algorithm))
            .collect();
        for algorithm in session.supported_algs(MethodType::HostKey).unwrap_or_default() {
            if !types.iter().any(|known| known == algorithm) {
                types.push(algorithm.to_owned());
            }
        }
        session
            .method_pref(MethodType::HostKey, &types.join(","))
            .map_err(|error| SshError::Unreachable {
                address: address.to_owned(),
                reason: error.to_string(),
            })?;
    }
    in_turns(session, wire, KEY_EXCHANGE_TIMEOUT, Session::handshake).map_err(|error| SshError::Unreachable {
        address: address.to_owned(),
        reason: format!("SSH handshake: {error}"),
    })
}

/// An RSA key is offered under the names of its signature algorithms.
fn signatures(algorithm: &str) -> Vec<String> {
    match algorithm {
        "ssh-rsa" => vec![
            "rsa-sha2-512".to_owned(),
            "rsa-sha2-256".to_owned(),
            "ssh-rsa".to_owned(),
        ],
        other => vec![other.to_owned()],
    }
}

pub(super) fn shown_key(session: &Session, address: &str) -> Result<HostKey, SshError> {
    session
        .host_key()
        .and_then(|(blob, _)| HostKey::from_blob(blob))
        .ok_or_else(|| SshError::Unreachable {
            address: address.to_owned(),
            reason: "the host showed no key".to_owned(),
        })
}

pub(super) fn login(
    session: &Session,
    wire: &impl AsFd,
    settings: &SshSettings,
    user: &str,
    address: &str,
) -> Result<(), SshError> {
    let result = match &settings.key {
        Some(key) => in_turns(&mut session.clone(), wire, KEY_EXCHANGE_TIMEOUT, |session| {
            session.userauth_pubkey_file(user, None, key, None)
        }),
        // The agent's side of the conversation cannot be taken up again half way.
        None => whole(|| session.userauth_agent(user)),
    };
    result.map_err(|error| {
        let remedy = match &settings.key {
            Some(key) => {
                format!(
                    "add the public key of {} to the user's authorized_keys on the host",
                    key.display()
                )
            }
            None => "set ssh.key in the inventory, or load a key into the SSH agent".to_owned(),
        };
        SshError::Login {
            user: user.to_owned(),
            address: address.to_owned(),
            reason: error.message().to_owned(),
            remedy,
        }
    })
}
