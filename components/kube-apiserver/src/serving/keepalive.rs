//! Connections whose other end is gone without a word: HTTP/2 pings, but one that changed protocol (exec, attach,
//! port-forward) may be silent for hours, and would be kept for ever.

use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

/// Silence after which the other end is asked.
const IDLE: Duration = Duration::from_secs(60);
/// It is asked this often then; the kernel gives up after nine times.
const INTERVAL: Duration = Duration::from_secs(15);

/// Has the kernel look after silent connections; those of a listener inherit it.
pub fn set(socket: &impl AsFd) -> io::Result<()> {
    let settings = TcpKeepalive::new().with_time(IDLE).with_interval(INTERVAL);
    SockRef::from(socket).set_tcp_keepalive(&settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn accepted_connections_inherit_it() {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        set(&socket).unwrap();
        let listener = socket.listen(8).unwrap();
        let address = listener.local_addr().unwrap();
        let (_client, accepted) = tokio::join!(tokio::net::TcpStream::connect(address), listener.accept());
        let (stream, _) = accepted.unwrap();
        let stream = SockRef::from(&stream);
        assert!(stream.keepalive().unwrap());
        assert_eq!(stream.tcp_keepalive_time().unwrap(), IDLE);
        assert_eq!(stream.tcp_keepalive_interval().unwrap(), INTERVAL);
    }
}
