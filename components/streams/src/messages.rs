//! The messages of several channels on one WebSocket, in the forms that clients speak.
//!
//! The forms are those of upstream's k8s.io/apimachinery/pkg/util/httpstream/wsstream: the first byte of a message is its
//! channel, or, where everything is text, the channel's digit before base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::HeaderMap;
use tokio_tungstenite::tungstenite::Message;

use crate::websocket::offered;

/// Since version 5: the next byte is a channel on which nothing more will come.
const CLOSE: u8 = 255;

/// One of the forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// The subprotocol; none for clients that name none.
    pub name: Option<&'static str>,
    pub is_text: bool,
    tells_closing: bool,
}

impl Form {
    /// By its subprotocol.
    pub fn named(name: &'static str) -> Self {
        Self {
            name: Some(name),
            is_text: name.contains("base64"),
            tells_closing: name.starts_with("v5."),
        }
    }

    /// The first form a client names of those that are `known`; a client that names none gets the oldest. `None` if it
    /// names others only.
    pub fn chosen(headers: &HeaderMap, known: &[&'static str]) -> Option<Self> {
        let mut offered = offered(headers).peekable();
        if offered.peek().is_none() {
            return Some(Self {
                name: None,
                is_text: false,
                tells_closing: false,
            });
        }
        offered
            .find_map(|offer| known.iter().find(|name| **name == offer))
            .map(|name| Self::named(name))
    }

    /// What says `bytes` on a channel.
    pub fn message(self, channel: u8, bytes: &[u8]) -> Message {
        if self.is_text {
            let mut text = String::with_capacity(1 + bytes.len().div_ceil(3) * 4);
            text.push(char::from(b'0' + channel));
            STANDARD.encode_string(bytes, &mut text);
            return Message::Text(text.into());
        }
        let mut message = Vec::with_capacity(bytes.len() + 1);
        message.push(channel);
        message.extend_from_slice(bytes);
        Message::Binary(message.into())
    }

    /// What a message says.
    pub(crate) fn read(self, message: Message) -> Heard {
        // Whether bytes come in a frame for text is up to the client: the official one for Python sends strings so.
        let bytes = match message {
            Message::Binary(bytes) => bytes,
            Message::Text(text) => text.into(),
            Message::Close(_) => return Heard::Gone,
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => return Heard::Nothing,
        };
        let Some(first) = bytes.first().copied() else {
            return Heard::Nothing;
        };
        if self.is_text {
            let data = STANDARD.decode(&bytes[1..]);
            return match (first.checked_sub(b'0').filter(|channel| *channel < 10), data) {
                (Some(channel), Ok(data)) => Heard::Data(channel, data.into()),
                _ => Heard::Nothing,
            };
        }
        match (first, bytes.get(1)) {
            (CLOSE, Some(channel)) if self.tells_closing => Heard::Closed(*channel),
            _ => Heard::Data(first, bytes.slice(1..)),
        }
    }
}

/// What a client's message says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Data(u8, Bytes),
    /// Nothing more will come on this channel.
    Closed(u8),
    Nothing,
    Gone,
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header;

    const KNOWN: [&str; 3] = ["v5.channel.k8s.io", "v4.channel.k8s.io", "base64.channel.k8s.io"];

    #[test]
    fn the_first_known_form_of_a_client_is_taken() {
        for (offered, chosen) in [
            (
                vec!["v4.channel.k8s.io", "v5.channel.k8s.io"],
                Some(Some(KNOWN[1])),
            ),
            (vec!["other, v5.channel.k8s.io"], Some(Some(KNOWN[0]))),
            (vec![], Some(None)),
            (vec!["other"], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in &offered {
                headers.append(header::SEC_WEBSOCKET_PROTOCOL, value.parse().unwrap());
            }
            let found = Form::chosen(&headers, &KNOWN).map(|form| form.name);
            assert_eq!(found, chosen, "{offered:?}");
        }
    }

    #[test]
    fn messages_are_read_in_every_form() {
        let [v5, v4, text] = KNOWN.map(Form::named);
        let data = |channel: u8, bytes: &'static [u8]| Heard::Data(channel, Bytes::from_static(bytes));
        for (form, message, heard) in [
            (v5, Message::Binary(vec![0, b'a'].into()), data(0, b"a")),
            // Regression: the official client for Python sends strings as text.
            (v4, Message::Text("\0a".into()), data(0, b"a")),
            (v5, Message::Binary(vec![CLOSE, 0].into()), Heard::Closed(0)),
            (v4, Message::Binary(vec![4, b'{'].into()), data(4, b"{")),
            (text, Message::Text("0YQ==".into()), data(0, b"a")),
            (text, Message::Text("0!".into()), Heard::Nothing),
            (text, Message::Text("aYQ==".into()), Heard::Nothing),
            (v5, Message::Binary(Bytes::new()), Heard::Nothing),
            (v5, Message::Close(None), Heard::Gone),
        ] {
            assert_eq!(form.read(message.clone()), heard, "{form:?} {message:?}");
        }
        assert_eq!(v4.message(1, b"a"), Message::Binary(vec![1, b'a'].into()));
        assert_eq!(text.message(3, b"a"), Message::Text("3YQ==".into()));
    }
}
