//! Media types of requests and answers.

use crate::header;
use crate::request::ApiRequest;
use crate::request_info::Query;
use api::Resource;
use apimachinery::{ApiError, Reason};
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Uri};

pub const JSON: &str = "application/json";
pub const YAML: &str = "application/yaml";
pub const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// Events, of which YAML has no form.
pub const JSON_EVENTS: &str = "application/json;stream=watch";
pub const PROTOBUF_EVENTS: &str = "application/vnd.kubernetes.protobuf;stream=watch";

/// The refusal of a watch in a form that there isn't.
pub fn unwatchable() -> ApiError {
    ApiError::not_acceptable(&[JSON_EVENTS, PROTOBUF_EVENTS])
}

/// How objects are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    #[default]
    Json,
    Yaml,
    Protobuf,
}

impl Encoding {
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => JSON,
            Self::Yaml => YAML,
            Self::Protobuf => PROTOBUF,
        }
    }
}

/// What objects are turned into before they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    #[default]
    Object,
    /// Of meta.k8s.io, with its version.
    Table(String),
    PartialObject(String),
    PartialList(String),
    /// Not an object but all groups with their resources, of apidiscovery.k8s.io/v2.
    Discovery {
        /// Of this server alone, not of the other API servers of the cluster (`profile=nopeer`).
        alone: bool,
    },
}

/// The answer's form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    pub encoding: Encoding,
    pub shape: Shape,
    pub pretty: bool,
}

impl Accepted {
    /// Whole objects as JSON without whitespace: how they are stored.
    pub fn is_plain_json(&self) -> bool {
        self.shape == Shape::Object && self.encoding == Encoding::Json && !self.pretty
    }
}

/// One range of an Accept header.
#[derive(Debug)]
struct Range {
    media_type: String,
    parameters: Vec<(String, String)>,
    quality: f32,
}

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        // Upstream compares it letter by letter.
        let media_type = parts.next().filter(|part| !part.is_empty())?.to_owned();
        let mut range = Self {
            media_type,
            parameters: Vec::new(),
            quality: 1.0,
        };
        for part in parts {
            if let Some((key, value)) = part.split_once('=') {
                let (key, value) = (
                    key.trim().to_ascii_lowercase(),
                    value.trim().trim_matches('"').to_owned(),
                );
                if key == "q" {
                    range.quality = value.parse().unwrap_or(0.0);
                } else {
                    range.parameters.push((key, value));
                }
            }
        }
        Some(range)
    }

    fn parameter(&self, name: &str) -> &str {
        self.parameters
            .iter()
            .find(|(key, _)| key == name)
            .map_or("", |(_, value)| value)
    }

    fn encoding(&self) -> Option<Encoding> {
        match self.media_type.as_str() {
            "*/*" | "application/*" | JSON => Some(Encoding::Json),
            YAML => Some(Encoding::Yaml),
            PROTOBUF => Some(Encoding::Protobuf),
            _ => None,
        }
    }

    /// `None` if what it asks to be converted to isn't something objects can be.
    fn shape(&self) -> Option<Shape> {
        let version = self.parameter("v");
        let group = self.parameter("g");
        let unknown_stream = !matches!(self.parameter("stream"), "" | "watch");
        if unknown_stream || !self.parameter("sv").is_empty() {
            return None;
        }
        let meta = group == "meta.k8s.io" && matches!(version, "v1" | "v1beta1");
        match self.parameter("as") {
            // A group or version says of what the kind is that is missing.
            "" => (group.is_empty() && version.is_empty()).then_some(Shape::Object),
            "Table" if meta => Some(Shape::Table(version.to_owned())),
            "PartialObjectMetadata" if meta => Some(Shape::PartialObject(version.to_owned())),
            "PartialObjectMetadataList" if meta => Some(Shape::PartialList(version.to_owned())),
            "APIGroupDiscoveryList" if group == "apidiscovery.k8s.io" && version == "v2" => {
                Some(Shape::Discovery {
                    alone: self.parameter("profile") == "nopeer",
                })
            }
            _ => None,
        }
    }
}

fn ranges(headers: &HeaderMap) -> Vec<Range> {
    let mut ranges: Vec<Range> = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|part| Range::parse(part.trim()))
        .filter(|range| range.quality > 0.0)
        .collect();
    ranges.sort_by(|a, b| b.quality.total_cmp(&a.quality));
    ranges
}

/// What a request is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// One object, as itself, as a Table or as its metadata.
    Object,
    /// A list of objects.
    List,
    /// Events, of objects in any shape.
    Watch,
    /// Something that has no other shape.
    Plain,
    /// What the server has, as a list of groups or with all that is in them.
    Discovery,
}

impl Answer {
    fn allows(self, shape: &Shape) -> bool {
        match (self, shape) {
            (_, Shape::Object) => true,
            (_, Shape::Discovery { .. }) => self == Self::Discovery,
            (Self::Watch, _) => true,
            (Self::Plain | Self::Discovery, _) => false,
            // Whether it can be one of these is seen when it is turned into it: no other form is looked for.
            (Self::Object | Self::List, _) => true,
        }
    }
}

/// What is there as protobuf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Messages {
    All,
    /// Custom resources have no message of their own; their metadata has.
    Metadata,
}

impl Messages {
    fn of(row: &Resource) -> Self {
        match row.custom {
            Some(_) => Self::Metadata,
            None => Self::All,
        }
    }

    /// Whether there is a message for this shape. A Table has none either.
    fn have(self, shape: &Shape) -> bool {
        match shape {
            Shape::Table(_) => false,
            Shape::PartialObject(_) | Shape::PartialList(_) => true,
            Shape::Object | Shape::Discovery { .. } => self == Self::All,
        }
    }
}

/// Chooses the form of an answer with objects of a kind.
pub fn negotiate(request: &ApiRequest, row: &Resource, answer: Answer) -> Result<Accepted, ApiError> {
    let pretty = match answer {
        Answer::Watch => Some("false"),
        _ => request.query.get("pretty"),
    };
    let accepted = choose_form(&request.headers, pretty, answer, Messages::of(row))?;
    check_partial(answer, &accepted.shape, || Shown::of(row, answer))?;
    check_table_options(request, &accepted)?;
    Ok(accepted)
}

/// Chooses the form of an object's scale.
pub fn negotiate_scale(request: &ApiRequest, row: &Resource) -> Result<Accepted, ApiError> {
    let pretty = request.query.get("pretty");
    let accepted = choose_form(&request.headers, pretty, Answer::Object, Messages::of(row))?;
    let scale = || Shown::Typed("*autoscaling.Scale".to_owned());
    check_partial(Answer::Object, &accepted.shape, scale)?;
    check_table_options(request, &accepted)?;
    Ok(accepted)
}

/// What upstream's program has of an answer.
enum Shown {
    /// A type of its own, with the type's name.
    Typed(String),
    /// Fields by their names, of whatever kind.
    Unstructured,
}

impl Shown {
    fn of(row: &Resource, answer: Answer) -> Self {
        match (&row.custom, answer) {
            (None, Answer::List) => Self::Typed(internal_type(row, &row.list_kind)),
            (None, _) => Self::Typed(internal_type(row, &row.gvk.kind)),
            (Some(_), Answer::List) => Self::Typed("*unstructured.UnstructuredList".to_owned()),
            (Some(_), _) => Self::Unstructured,
        }
    }
}

/// Metadata of one object, and that of a list's, can be had of such alone.
fn check_partial(answer: Answer, shape: &Shape, shown: impl FnOnce() -> Shown) -> Result<(), ApiError> {
    let (kind, isnt) = match (answer, shape) {
        (Answer::List, Shape::PartialObject(_)) => ("PartialObjectMetadata", "a list"),
        (Answer::Object, Shape::PartialList(_)) => ("PartialObjectMetadataList", "not a list"),
        _ => return Ok(()),
    };
    Err(match shown() {
        Shown::Typed(name) => {
            let why = format!("you requested {kind}, but the requested object is {isnt} ({name})");
            ApiError::new(406, Reason::NotAcceptable, why, None)
        }
        // That could be a list, until its items are looked for.
        Shown::Unstructured => ApiError::new(500, Reason::Unknown, "content is not a list", None),
    })
}

/// The type that upstream has of a kind, whatever its version: in a package that has mostly the group's first name.
fn internal_type(row: &Resource, kind: &str) -> String {
    let package = match (row.gvk.group.as_str(), row.gvk.kind.as_str()) {
        ("", _) | ("events.k8s.io", "Event") => "core",
        ("internal.apiserver.k8s.io", _) => "apiserverinternal",
        (group, _) => group.split('.').next().unwrap_or_default(),
    };
    format!("*{package}.{kind}")
}

fn check_table_options(request: &ApiRequest, accepted: &Accepted) -> Result<(), ApiError> {
    if matches!(accepted.shape, Shape::Table(_)) {
        let include = request.query.get("includeObject").unwrap_or("");
        if !matches!(include, "" | "Metadata" | "Object" | "None") {
            return Err(ApiError::bad_request(format!(
                "Unable to convert to Table as requested: includeObject: Invalid value: {include:?}: must be 'Metadata', 'Object', 'None', or empty"
            )));
        }
    }
    Ok(())
}

/// Chooses the form of an answer of a built-in kind, whatever the request is about.
pub fn negotiate_plain(request: &ApiRequest) -> Result<Accepted, ApiError> {
    choose_form(
        &request.headers,
        request.query.get("pretty"),
        Answer::Plain,
        Messages::All,
    )
}

/// Chooses the form of a document of discovery.
pub fn negotiate_discovery(request: &ApiRequest, answer: Answer) -> Result<Accepted, ApiError> {
    choose_form(
        &request.headers,
        request.query.get("pretty"),
        answer,
        Messages::All,
    )
}

/// What a failure is to be answered with, kept aside since a request is taken apart before it fails.
#[derive(Clone, Debug)]
pub struct FailureForm {
    accept: Option<HeaderValue>,
    agent: Option<HeaderValue>,
    uri: Uri,
}

impl FailureForm {
    pub fn of<B>(request: &http::Request<B>) -> Self {
        Self {
            accept: request.headers().get(ACCEPT).cloned(),
            agent: request.headers().get(USER_AGENT).cloned(),
            uri: request.uri().clone(),
        }
    }

    /// The form of the Status; JSON for a client that takes nothing else.
    pub fn choose(&self) -> Accepted {
        let given = [(ACCEPT, &self.accept), (USER_AGENT, &self.agent)];
        let headers = given
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.clone()?)))
            .collect();
        let query = Query::parse(self.uri.query());
        choose_form(&headers, query.get("pretty"), Answer::Plain, Messages::All).unwrap_or_default()
    }
}

fn choose_form(
    headers: &HeaderMap,
    pretty: Option<&str>,
    answer: Answer,
    messages: Messages,
) -> Result<Accepted, ApiError> {
    let pretty = match pretty {
        Some(value) => crate::request_info::says_true(value),
        None => prefers_pretty(headers),
    };
    let ranges = ranges(headers);
    if ranges.is_empty() {
        return Ok(Accepted {
            pretty,
            ..Accepted::default()
        });
    }
    for range in &ranges {
        let Some(encoding) = range.encoding() else {
            continue;
        };
        let possible =
            |shape: &Shape| answer.allows(shape) && (encoding != Encoding::Protobuf || messages.have(shape));
        if let Some(shape) = range.shape().filter(possible) {
            return Ok(Accepted {
                encoding,
                shape,
                pretty,
            });
        }
    }
    Err(match answer {
        Answer::Watch => unwatchable(),
        _ => ApiError::not_acceptable(&[JSON, YAML, PROTOBUF]),
    })
}

/// The best of some plain media types, for documents; the first is the default.
pub fn choose<'a>(headers: &HeaderMap, offered: &[&'a str]) -> Option<&'a str> {
    let ranges = ranges(headers);
    if ranges.is_empty() {
        return offered.first().copied();
    }
    ranges.iter().find_map(|range| {
        offered.iter().copied().find(|offer| {
            let (main, _) = offer.split_once('/').unwrap_or((offer, ""));
            range.media_type == "*/*"
                || range.media_type == *offer
                || range.media_type.strip_suffix("/*") == Some(main)
        })
    })
}

fn prefers_pretty(headers: &HeaderMap) -> bool {
    let agent = header::first(headers, &USER_AGENT);
    ["curl", "Wget", "Mozilla/5.0"]
        .iter()
        .any(|prefix| agent.starts_with(prefix))
}

/// The media type of a request body, without parameters; JSON when none is given.
pub fn content_type(headers: &HeaderMap) -> String {
    let text = header::first(headers, &CONTENT_TYPE);
    let media_type = text.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    if media_type.is_empty() {
        JSON.to_owned()
    } else {
        media_type
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(text: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, text.parse().unwrap());
        headers
    }

    #[test]
    fn forms() {
        let table = Shape::Table("v1".into());
        for (text, expected) in [
            ("application/json", Some((Encoding::Json, Shape::Object))),
            ("*/*", Some((Encoding::Json, Shape::Object))),
            ("application/yaml", Some((Encoding::Yaml, Shape::Object))),
            (
                "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
                Some((Encoding::Json, table.clone())),
            ),
            (
                "application/json;as=Nope;v=v1;g=meta.k8s.io,application/json",
                Some((Encoding::Json, Shape::Object)),
            ),
            (
                "application/vnd.kubernetes.protobuf, application/json",
                Some((Encoding::Json, Shape::Object)),
            ),
            ("application/vnd.kubernetes.protobuf", None),
            (
                "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
                Some((Encoding::Protobuf, Shape::PartialList("v1".into()))),
            ),
            (
                "application/json;q=0.5,application/yaml",
                Some((Encoding::Yaml, Shape::Object)),
            ),
            ("text/html", None),
            ("APPLICATION/JSON", None),
        ] {
            let found = choose_form(&accept(text), None, Answer::List, Messages::Metadata)
                .ok()
                .map(|accepted| (accepted.encoding, accepted.shape));
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn protobuf_is_for_kinds_that_have_a_message() {
        let first = |text: &str, answer| {
            choose_form(&accept(text), None, answer, Messages::All)
                .ok()
                .map(|accepted| (accepted.encoding, accepted.shape))
        };
        let client = "application/vnd.kubernetes.protobuf,application/json";
        let plain = Some((Encoding::Protobuf, Shape::Object));
        assert_eq!(first(client, Answer::Object), plain);
        assert_eq!(
            first("application/vnd.kubernetes.protobuf;stream=watch", Answer::Watch),
            plain
        );
        let metadata = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
        let list = Some((Encoding::Protobuf, Shape::PartialList("v1".into())));
        assert_eq!(first(metadata, Answer::List), list);
        let table = "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io,application/json";
        assert_eq!(first(table, Answer::List), Some((Encoding::Json, Shape::Object)));
    }

    #[test]
    fn the_first_form_of_discovery_that_can_be_had_is_chosen() {
        let form = |text: &str| {
            let accepted = choose_form(&accept(text), None, Answer::Discovery, Messages::All).unwrap();
            (accepted.encoding, accepted.shape)
        };
        let aggregated = ";g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        let whole = Shape::Discovery { alone: false };
        for (text, expected) in [
            (
                format!("application/json{aggregated};profile=nopeer,application/json{aggregated}"),
                (Encoding::Json, Shape::Discovery { alone: true }),
            ),
            (
                format!("application/json{aggregated},application/json"),
                (Encoding::Json, whole.clone()),
            ),
            (
                format!("application/json;q=0.5,application/vnd.kubernetes.protobuf{aggregated}"),
                (Encoding::Protobuf, whole.clone()),
            ),
            // An older version isn't served any more.
            (
                format!(
                    "application/json{},application/json{aggregated}",
                    aggregated.replace("v2", "v2beta1")
                ),
                (Encoding::Json, whole.clone()),
            ),
            ("application/json".to_owned(), (Encoding::Json, Shape::Object)),
            (
                "application/vnd.kubernetes.protobuf,*/*".to_owned(),
                (Encoding::Protobuf, Shape::Object),
            ),
        ] {
            assert_eq!(form(&text), expected, "{text}");
        }
        let text = format!("application/json{aggregated}");
        assert!(choose_form(&accept(&text), None, Answer::Plain, Messages::All).is_err());
        let told = choose_form(&accept(&text), None, Answer::Watch, Messages::All).unwrap_err();
        assert_eq!(
            told.message(),
            "only the following media types are accepted: application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"
        );
    }
}
