//! Priority levels: how many requests are served at once, and which wait.
use crate::validate::shared::one_of;
use crate::value::{at, int, text};
use apimachinery::field::{Error, ErrorList, Path};
use serde_json::Value;

/// The spec of a priority level.
pub(super) fn check(name: &str, spec: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let kind = text(spec, &["type"]);
    if (name == "exempt") != (kind == "Exempt") {
        errors.push(Error::invalid(
            &path.child("type"),
            kind,
            "type must be 'Exempt' if and only if name is 'exempt'",
        ));
    }
    let (limited, exempt) = (at(spec, &["limited"]), at(spec, &["exempt"]));
    match kind {
        "Exempt" => {
            if limited.is_object() {
                errors.push(Error::forbidden(
                    &path.child("limited"),
                    "must be nil if the type is not Limited",
                ));
            }
            errors.extend(self::exempt(exempt, &path.child("exempt")));
        }
        "Limited" => {
            if exempt.is_object() {
                errors.push(Error::forbidden(
                    &path.child("exempt"),
                    "must be nil if the type is Limited",
                ));
            }
            if limited.is_object() {
                errors.extend(self::limited(limited, &path.child("limited")));
            } else {
                errors.push(Error::required(
                    &path.child("limited"),
                    "must not be empty when type is Limited",
                ));
            }
        }
        _ => errors.extend(one_of(
            &path.child("type"),
            at(spec, &["type"]),
            &["Exempt", "Limited"],
        )),
    }
    errors
}

fn exempt(exempt: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if let Some(shares) = int(exempt, &["nominalConcurrencyShares"]).filter(|shares| *shares < 0) {
        errors.push(Error::invalid(
            &path.child("nominalConcurrencyShares"),
            shares,
            "must be a non-negative integer",
        ));
    }
    errors.extend(lendable(exempt, path));
    errors
}

fn lendable(level: &Value, path: &Path) -> Option<Error> {
    let percent = int(level, &["lendablePercent"]).filter(|percent| !(0..=100).contains(percent))?;
    Some(Error::invalid(
        &path.child("lendablePercent"),
        percent,
        "must be between 0 and 100, inclusive",
    ))
}

fn limited(limited: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if let Some(shares) = int(limited, &["nominalConcurrencyShares"]).filter(|shares| *shares < 0) {
        errors.push(Error::invalid(
            &path.child("nominalConcurrencyShares"),
            shares,
            "must be a non-negative integer",
        ));
    }
    let response = at(limited, &["limitResponse"]);
    let queuing = at(response, &["queuing"]);
    let response_path = path.child("limitResponse");
    match text(response, &["type"]) {
        "Reject" if queuing.is_object() => errors.push(Error::forbidden(
            &response_path.child("queuing"),
            "must be nil if limited.limitResponse.type is not Limited",
        )),
        "Reject" => {}
        "Queue" if !queuing.is_object() => errors.push(Error::required(
            &response_path.child("queuing"),
            "must not be empty if limited.limitResponse.type is Limited",
        )),
        "Queue" => errors.extend(self::queuing(queuing, &response_path.child("queuing"))),
        _ => errors.extend(one_of(
            &response_path.child("type"),
            at(response, &["type"]),
            &["Queue", "Reject"],
        )),
    }
    errors.extend(lendable(limited, path));
    if let Some(percent) = int(limited, &["borrowingLimitPercent"]).filter(|percent| *percent < 0) {
        errors.push(Error::invalid(
            &path.child("borrowingLimitPercent"),
            percent,
            "if specified, must be a non-negative integer",
        ));
    }
    errors
}

/// A hand must not need more bits than the hash of a flow has, to be dealt.
const MAX_HASH_BITS: f64 = 60.0;
const MAX_QUEUES: i64 = 10_000_000;

fn queuing(queuing: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let number = |field: &str| int(queuing, &[field]).unwrap_or(0);
    let (queues, hand) = (number("queues"), number("handSize"));
    let positive = |field: &str| {
        (number(field) <= 0).then(|| Error::invalid(&path.child(field), number(field), "must be positive"))
    };
    errors.extend(positive("queueLengthLimit"));
    errors.extend(positive("queues"));
    if queues > MAX_QUEUES {
        errors.push(Error::invalid(
            &path.child("queues"),
            queues,
            format!("must not be greater than {MAX_QUEUES}"),
        ));
    }
    errors.extend(positive("handSize"));
    if hand > 0 && hand > queues {
        errors.push(Error::invalid(
            &path.child("handSize"),
            hand,
            format!("should not be greater than queues ({queues})"),
        ));
    } else if hand > 0 && required_bits(queues, hand) > MAX_HASH_BITS {
        errors.push(Error::invalid(&path.child("handSize"), hand, format!("required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {MAX_HASH_BITS}")));
    }
    errors
}

/// The bits that say which cards of a deck are in a hand, in which order. Large hands need too many before they are counted to the
/// end.
fn required_bits(deck: i64, hand: i64) -> f64 {
    let bits = (0..hand.min(64)).map(|dealt| ((deck - dealt) as f64).log2());
    bits.sum::<f64>().ceil()
}
