//! Messages of the signer (`v1.ExternalJWTSigner`).

#[derive(Clone, PartialEq, prost::Message)]
pub struct SignJwtRequest {
    /// The second part of the token, encoded already.
    #[prost(string, tag = "1")]
    pub claims: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct SignJwtResponse {
    /// The first part of the token, encoded already, as the last one is.
    #[prost(string, tag = "1")]
    pub header: String,
    #[prost(string, tag = "2")]
    pub signature: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct FetchKeysRequest {}

#[derive(Clone, PartialEq, prost::Message)]
pub struct FetchKeysResponse {
    #[prost(message, repeated, tag = "1")]
    pub keys: Vec<Key>,
    /// When the signer's keys changed last.
    #[prost(message, optional, tag = "2")]
    pub data_timestamp: Option<Timestamp>,
    #[prost(int64, tag = "3")]
    pub refresh_hint_seconds: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Timestamp {
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Key {
    #[prost(string, tag = "1")]
    pub key_id: String,
    /// DER of a SubjectPublicKeyInfo.
    #[prost(bytes = "vec", tag = "2")]
    pub key: Vec<u8>,
    /// Verifies old tokens only.
    #[prost(bool, tag = "3")]
    pub exclude_from_oidc_discovery: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct MetadataRequest {}

#[derive(Clone, PartialEq, prost::Message)]
pub struct MetadataResponse {
    #[prost(int64, tag = "1")]
    pub max_token_expiration_seconds: i64,
}
