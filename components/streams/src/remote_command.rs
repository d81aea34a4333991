//! exec and attach: standard input, output and error, what became of the process, and the terminal's size each have a
//! channel of a WebSocket and a stream of SPDY.

use tokio::io::AsyncWrite;

use crate::messages::Form;
use crate::relay::{Channels, StatusStream, Told};
use crate::spdy::Sender;

/// The subprotocol of WebSockets in which a client can tell that its input has ended.
pub const V5: &str = "v5.channel.k8s.io";
/// Of every age: kubectl names the first, browsers the last.
pub const FORMS: [&str; 5] = [
    V5,
    "v4.channel.k8s.io",
    "v4.base64.channel.k8s.io",
    "channel.k8s.io",
    "base64.channel.k8s.io",
];
/// The error stream carries a Status in this version of the SPDY protocol.
pub const SPDY_PROTOCOL: &str = "v4.channel.k8s.io";

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
/// Carries what became of the process.
pub const ERROR: u8 = 3;
const RESIZE: u8 = 4;

/// Which streams the client wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    pub stdin: bool,
    pub stdout: bool,
    /// A terminal has one output: with `tty` there is none.
    pub stderr: bool,
    pub tty: bool,
}

impl Wanted {
    /// The channel on which an empty message tells the client that the connection is made.
    pub fn greeting(self) -> u8 {
        if self.stdout {
            STDOUT
        } else if self.stderr {
            STDERR
        } else {
            ERROR
        }
    }

    /// Opens the streams on a new connection, in upstream's order.
    ///
    /// # Errors
    ///
    /// The connection failed.
    pub async fn open<W: AsyncWrite + Unpin>(
        self,
        sender: &mut Sender<W>,
        form: Form,
    ) -> std::io::Result<Channels> {
        let mut channels = Channels::default();
        let error = sender.open(&[("streamType", "error")]).await?;
        channels.outputs.push((error, ERROR));
        channels.status = Some(StatusStream {
            stream: error,
            told: match form.name {
                Some(name) if name.starts_with('v') => Told::AsItComes,
                _ => Told::AsText,
            },
        });
        if self.stdin {
            let stream = sender.open(&[("streamType", "stdin")]).await?;
            channels.inputs.push((STDIN, stream));
        }
        if self.stdout {
            let stream = sender.open(&[("streamType", "stdout")]).await?;
            channels.outputs.push((stream, STDOUT));
        }
        if self.stderr {
            let stream = sender.open(&[("streamType", "stderr")]).await?;
            channels.outputs.push((stream, STDERR));
        }
        if self.tty {
            let stream = sender.open(&[("streamType", "resize")]).await?;
            channels.inputs.push((RESIZE, stream));
        }
        Ok(channels)
    }
}
