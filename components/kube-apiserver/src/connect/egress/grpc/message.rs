//! Messages of konnectivity's `ProxyService`, both ways.

/// What a packet is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Kind {
    DialRequest = 0,
    DialResponse = 1,
    CloseRequest = 2,
    CloseResponse = 3,
    Data = 4,
    DialClose = 5,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Packet {
    #[prost(enumeration = "Kind", tag = "1")]
    pub kind: i32,
    #[prost(oneof = "Payload", tags = "2, 3, 4, 5, 6, 7")]
    pub payload: Option<Payload>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Payload {
    #[prost(message, tag = "2")]
    DialRequest(DialRequest),
    #[prost(message, tag = "3")]
    DialResponse(DialResponse),
    #[prost(message, tag = "4")]
    Data(Data),
    #[prost(message, tag = "5")]
    CloseRequest(CloseRequest),
    #[prost(message, tag = "6")]
    CloseResponse(CloseResponse),
    #[prost(message, tag = "7")]
    DialClose(DialClose),
}

impl Packet {
    pub fn dial(address: &str, random: i64) -> Self {
        let payload = Payload::DialRequest(DialRequest {
            protocol: "tcp".to_owned(),
            address: address.to_owned(),
            random,
        });
        Self {
            kind: Kind::DialRequest.into(),
            payload: Some(payload),
        }
    }

    pub fn data(connection: i64, data: Vec<u8>) -> Self {
        let payload = Payload::Data(Data {
            connection,
            error: String::new(),
            data,
        });
        Self {
            kind: Kind::Data.into(),
            payload: Some(payload),
        }
    }

    pub fn close(connection: i64) -> Self {
        Self {
            kind: Kind::CloseRequest.into(),
            payload: Some(Payload::CloseRequest(CloseRequest { connection })),
        }
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct DialRequest {
    /// `tcp`.
    #[prost(string, tag = "1")]
    pub protocol: String,
    /// `host:port`.
    #[prost(string, tag = "2")]
    pub address: String,
    /// Comes back with the answer.
    #[prost(int64, tag = "3")]
    pub random: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct DialResponse {
    /// Why there is no connection; empty if there is one.
    #[prost(string, tag = "1")]
    pub error: String,
    #[prost(int64, tag = "2")]
    pub connection: i64,
    #[prost(int64, tag = "3")]
    pub random: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Data {
    #[prost(int64, tag = "1")]
    pub connection: i64,
    #[prost(string, tag = "2")]
    pub error: String,
    #[prost(bytes = "vec", tag = "3")]
    pub data: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct CloseRequest {
    #[prost(int64, tag = "1")]
    pub connection: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct CloseResponse {
    #[prost(string, tag = "1")]
    pub error: String,
    #[prost(int64, tag = "2")]
    pub connection: i64,
}

/// Ends a dial that has no answer yet.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DialClose {
    #[prost(int64, tag = "1")]
    pub random: i64,
}
