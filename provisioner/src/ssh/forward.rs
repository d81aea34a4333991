//! A port of a host as a port of this machine, for when the host's address cannot be reached directly.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::bastion::{copy, local};
use super::{Connection, SshError, Target};

/// Ends with its owner; connections through it end when either side hangs up.
pub struct Forward {
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Forward {
    /// Listens on a free loopback port; each connection gets a session of its own to `port` of the host.
    pub fn open(target: Target, port: u16) -> Result<Forward, SshError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| local(&error))?;
        let address = listener.local_addr().map_err(|error| local(&error))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Acquire) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let target = target.clone();
                // The copy ends when the client closes; a failed one shows as a closed connection there.
                std::thread::spawn(move || drop(serve(&target, port, stream)));
            }
        });
        Ok(Forward {
            address,
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(target: &Target, port: u16, stream: TcpStream) -> Result<(), SshError> {
    let connection = Connection::open(target)?;
    let lost = |error: ssh2::Error| SshError::Lost {
        doing: format!("forwarding port {port}"),
        reason: error.to_string(),
    };
    let channel = connection
        .session
        .channel_direct_tcpip("127.0.0.1", port, None)
        .map_err(lost)?;
    stream.set_nonblocking(true).map_err(|error| local(&error))?;
    copy(&connection.session, channel, stream, &connection.wire);
    Ok(())
}
