//! How long a request may take: the server's own limit, or less when the client says so.

use crate::request_info::{Query, RequestInfo};
use apimachinery::ApiError;
use std::time::Duration;

/// Of a request that doesn't stay open: `?timeout=` up to `most`, which is `--request-timeout`. A text that is no duration
/// is refused before it is even asked who the client is, as upstream does. Others keep `most` for what comes before they
/// are open.
pub fn of(info: &RequestInfo, query: &Query, most: Duration) -> Result<Duration, ApiError> {
    if info.is_long_running() {
        return Ok(most);
    }
    match query.get("timeout").filter(|text| !text.is_empty()) {
        None => Ok(most),
        Some(text) => match parse(text) {
            // Zero and less mean that the client has no limit of its own.
            Ok(None | Some(Duration::ZERO)) => Ok(most),
            Ok(Some(wanted)) => Ok(wanted.min(most)),
            Err(why) => Err(ApiError::bad_request(format!(
                "invalid timeout specified in the request URL - {why}"
            ))),
        },
    }
}

/// A duration as Go writes them; `None` when it is negative. Errors are worded as Go's.
fn parse(text: &str) -> Result<Option<Duration>, String> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    match component_config::flags::parse_duration(unsigned) {
        Ok(_) if text.starts_with('-') => Ok(None),
        Ok(duration) => Ok(Some(duration)),
        Err(_) => Err(complaint(text, unsigned)),
    }
}

fn complaint(text: &str, unsigned: &str) -> String {
    let mut rest = unsigned;
    while rest.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let end = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        match &rest[..end] {
            "ns" | "us" | "µs" | "ms" | "s" | "m" | "h" => {}
            "" => return format!("time: missing unit in duration {text:?}"),
            unit => return format!("time: unknown unit {unit:?} in duration {text:?}"),
        }
        rest = &rest[end..];
    }
    format!("time: invalid duration {text:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_may_have_less_time_and_not_more() {
        let most = Duration::from_secs(60);
        let short = RequestInfo {
            verb: "list".into(),
            ..RequestInfo::default()
        };
        let of = |info: &RequestInfo, timeout: &str| {
            let query = Query::parse(Some(&format!("timeout={timeout}")));
            super::of(info, &query, most).map_err(|error| error.message().to_owned())
        };
        let seconds = |number| Ok(Duration::from_secs(number));
        let refused = |why: &str| {
            Err(format!(
                "invalid timeout specified in the request URL - time: {why}"
            ))
        };
        for (timeout, expected) in [
            ("", seconds(60)),
            ("0s", seconds(60)),
            ("0", seconds(60)),
            ("-5s", seconds(60)),
            ("2m", seconds(60)),
            ("1s", seconds(1)),
            ("%2B1s", seconds(1)),
            ("x", refused("invalid duration \"x\"")),
            ("5", refused("missing unit in duration \"5\"")),
            ("5x", refused("unknown unit \"x\" in duration \"5x\"")),
            ("-", refused("invalid duration \"-\"")),
        ] {
            assert_eq!(of(&short, timeout), expected, "{timeout}");
        }
        let watch = RequestInfo {
            verb: "watch".into(),
            ..RequestInfo::default()
        };
        assert_eq!(of(&watch, "x"), seconds(60));
    }
}
