//! The options of a deletion, as clients send them.

use crate::media;
use crate::request::ApiRequest;
use crate::verbs::options::DeleteOptions;
use apimachinery::{ApiError, meta};
use serde_json::{Value, json};

/// Those of a request: of its body, or of its query where it has none.
pub(super) fn options(request: &ApiRequest) -> Result<DeleteOptions, ApiError> {
    if request.body.is_empty() {
        return DeleteOptions::read(request, None);
    }
    let body = options_of_body(request).inspect_err(|_| request.note_undecoded())?;
    request.note_value(|| {
        let mut told = body.clone();
        // As upstream holds them.
        told["kind"] = json!("DeleteOptions");
        told["apiVersion"] = json!("meta.k8s.io/__internal");
        told
    });
    DeleteOptions::read(request, Some(&body))
}

/// The options that a body says, of their types.
fn options_of_body(request: &ApiRequest) -> Result<Value, ApiError> {
    let media_type = media::content_type(&request.headers);
    if media_type == media::PROTOBUF {
        let envelope =
            crate::protobuf::open(&request.body).map_err(|error| ApiError::bad_request(error.to_string()))?;
        let schemas = api::schema::built_in();
        return crate::protobuf::decode(
            &schemas,
            "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions",
            envelope.raw,
        )
        .map_err(|error| ApiError::bad_request(error.to_string()));
    }
    if !matches!(media_type.as_str(), media::JSON | media::YAML) {
        return Err(ApiError::unsupported_media_type(&[
            media::JSON,
            media::YAML,
            media::PROTOBUF,
        ]));
    }
    let unread = |why: &dyn std::fmt::Display| {
        ApiError::bad_request(format!("couldn't get version/kind; json parse error: {why}"))
    };
    let mut body = crate::kinds::parse_body(&request.body, &media_type)
        .map_err(|why| unread(&why))?
        .value;
    if body.is_null() {
        // It says nothing, as an object without members does.
        body = Value::Object(Default::default());
    }
    if !body.is_object() {
        let (noun, ty) = (apimachinery::decode::noun(&body), crate::kinds::TYPE_META);
        return Err(unread(&format!(
            "json: cannot unmarshal {noun} into Go value of type {ty}"
        )));
    }
    check_options_kind(&body)?;
    fit_options(&mut body)?;
    Ok(body)
}

/// What is sent with a deletion are options of one, if it says what it is.
fn check_options_kind(body: &Value) -> Result<(), ApiError> {
    /// The other kinds that upstream's reader of options knows.
    const OTHERS: &[&str] = &[
        "CreateOptions",
        "GetOptions",
        "ListOptions",
        "PartialObjectMetadata",
        "PartialObjectMetadataList",
        "PatchOptions",
        "Status",
        "Table",
        "TableOptions",
        "UpdateOptions",
    ];
    crate::kinds::interpret(body).map_err(ApiError::bad_request)?;
    let kind = meta::kind(body);
    if matches!(kind, "" | "DeleteOptions") {
        return Ok(());
    }
    Err(ApiError::bad_request(if OTHERS.contains(&kind) {
        format!("converting (v1.{kind}) to (v1.DeleteOptions): unknown conversion")
    } else {
        let version = match meta::api_version(body) {
            "" => "meta.k8s.io/v1",
            version => version,
        };
        format!(
            "no kind {kind:?} is registered for version {version:?} in scheme \"k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme/register.go:27\""
        )
    }))
}

/// Options of the wrong types are refused, and not left out: a deletion with `dryRun: "All"` must not happen.
fn fit_options(body: &mut Value) -> Result<(), ApiError> {
    let schemas = api::schema::built_in();
    let id = schemas.id("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions");
    let id = id.ok_or_else(|| ApiError::internal("there is no schema of DeleteOptions"))?;
    apimachinery::decode::fit(&schemas, id, body)
        .map(drop)
        .map_err(|error| ApiError::bad_request(error.to_string()))
}
