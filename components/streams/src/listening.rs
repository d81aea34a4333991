//! WebSockets on which only the server speaks, as upstream's k8s.io/apimachinery/pkg/util/httpstream/wsstream has them: what
//! a client sends is read and dropped.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::{SinkExt as _, Stream, StreamExt as _};
use tokio_tungstenite::tungstenite::{self, Message, Utf8Bytes};

use crate::websocket::{self, Socket};

/// How bytes are put into messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As they are, which has to be UTF-8; what isn't goes as bytes.
    Text,
    Bytes,
    /// For clients that take text only.
    Base64,
}

impl Form {
    fn message(self, bytes: Bytes) -> Message {
        match self {
            Self::Text => match Utf8Bytes::try_from(bytes.clone()) {
                Ok(text) => Message::Text(text),
                Err(_) => Message::Binary(bytes),
            },
            Self::Bytes => Message::Binary(bytes),
            Self::Base64 => Message::Text(STANDARD.encode(bytes).into()),
        }
    }
}

/// Sends a message for each item, then closes. Ends early when the client has gone.
///
/// # Errors
///
/// A message could not be sent.
pub async fn speak(
    socket: Socket,
    form: Form,
    said: impl Stream<Item = Bytes>,
) -> Result<(), tungstenite::Error> {
    let (mut to_client, mut from_client) = socket.split();
    let spoken = {
        // Read to the end, which answers pings and the client's parting.
        let gone = async { while let Some(Ok(_)) = from_client.next().await {} };
        let speaking = async {
            tokio::pin!(said);
            while let Some(bytes) = said.next().await {
                to_client.send(form.message(bytes)).await?;
            }
            Ok(())
        };
        tokio::select! {
            biased;
            () = gone => None,
            spoken = speaking => Some(spoken),
        }
    };
    match spoken {
        Some(Ok(())) => websocket::part(&mut to_client, &mut from_client).await,
        Some(Err(error)) => Err(error),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_of_their_form() {
        let words = Bytes::from_static(b"a word");
        for (form, bytes, expected) in [
            (Form::Text, words.clone(), Message::text("a word")),
            (
                Form::Text,
                Bytes::from_static(b"\xff"),
                Message::binary(&b"\xff"[..]),
            ),
            (Form::Bytes, words.clone(), Message::binary(words.clone())),
            (Form::Base64, words, Message::text("YSB3b3Jk")),
            (Form::Base64, Bytes::new(), Message::text("")),
        ] {
            assert_eq!(form.message(bytes), expected, "{form:?}");
        }
    }
}
