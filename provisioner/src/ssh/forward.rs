//! A port of a host as a port of this machine, for when the host's address cannot be reached directly.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::bastion::{copy, local};
use super::{Connection, SshError, Target, lost};

/// Ends with its owner; connections through it end when either side hangs up.
pub struct Forward {
    pub address: SocketAddr,
    /// Host and port at the other end.
    pub to: String,
    stop: Arc<AtomicBool>,
    /// Why the last connection did not get through.
    failure: Arc<Mutex<Option<String>>>,
    thread: Option<JoinHandle<()>>,
}

impl Forward {
    /// Listens on a free loopback port; each connection gets a session of its own to `port` of the host.
    pub fn open(target: Target, port: u16) -> Result<Forward, SshError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| local(&error))?;
        let address = listener.local_addr().map_err(|error| local(&error))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let failure = Arc::new(Mutex::new(None));
        let failed = failure.clone();
        let forwarded = target.clone();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Acquire) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let target = target.clone();
                let failed = failed.clone();
                // The copy ends when the client closes; to the client a failed one is a closed connection.
                std::thread::spawn(move || {
                    let outcome = serve(&target, port, stream);
                    if let (Err(error), Ok(mut failed)) = (outcome, failed.lock()) {
                        *failed = Some(error.to_string());
                    }
                });
            }
        });
        Ok(Forward {
            address,
            to: format!("{}:{port}", forwarded.host),
            stop,
            failure,
            thread: Some(thread),
        })
    }

    /// Why the last connection that failed did not get through.
    pub fn failure(&self) -> Option<String> {
        self.failure.lock().ok().and_then(|failure| failure.clone())
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
    let channel = connection
        .session
        .channel_direct_tcpip("127.0.0.1", port, None)
        .map_err(lost(&format!("forwarding port {port}")))?;
    stream.set_nonblocking(true).map_err(|error| local(&error))?;
    copy(&connection.session, channel, stream, &connection.wire);
    Ok(())
}
