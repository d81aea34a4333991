//! systemd's readiness protocol (sd_notify(3)), for units with `Type=notify`.

use std::os::unix::net::UnixDatagram;

/// Says that the daemon is ready. Does nothing when systemd has not asked for it.
pub fn ready() {
    send("READY=1");
}

/// Says that the daemon has begun to stop.
pub fn stopping() {
    send("STOPPING=1");
}

fn send(state: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let result = (|| {
        use std::os::linux::net::SocketAddrExt as _;
        use std::os::unix::ffi::OsStrExt as _;
        let socket = UnixDatagram::unbound()?;
        // A leading @ stands for the abstract namespace.
        let address = match path.as_bytes() {
            [b'@', name @ ..] => std::os::unix::net::SocketAddr::from_abstract_name(name)?,
            _ => std::os::unix::net::SocketAddr::from_pathname(&path)?,
        };
        socket.send_to_addr(state.as_bytes(), &address)
    })();
    if let Err(error) = result {
        tracing::warn!(%error, state, "cannot notify systemd");
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn without_a_socket_nothing_happens() {
        super::ready();
    }
}
