//! What tokens are bound to: it is there, is what the token was made for, and isn't long gone. In upstream's words.

use super::LEEWAY;
use crate::authentication::Rejected;
use crate::authentication::lookup::Lookup;
use crate::tokens::claims::Reference;
use apimachinery::{ApiError, GroupResource, meta};
use serde_json::Value;

pub(super) const INVALIDATED: &str = "service account token has been invalidated";

/// The account of a token, whether it is about to go or not.
pub(super) async fn stored_account(
    lookup: &dyn Lookup,
    namespace: &str,
    name: &str,
) -> Result<Value, Rejected> {
    let accounts = GroupResource::new("", "serviceaccounts");
    let found = lookup.get(&accounts.resource, namespace, name).await;
    found
        .map_err(|error| Rejected(error.to_string()))?
        .ok_or_else(|| Rejected(ApiError::not_found(&accounts, name).message().to_owned()))
}

pub(super) async fn account(
    lookup: &dyn Lookup,
    namespace: &str,
    reference: &Reference,
) -> Result<(), Rejected> {
    let name = &reference.name;
    let account = stored_account(lookup, namespace, name).await?;
    if is_gone(&account) {
        return Err(Rejected(format!(
            "service account {namespace}/{name} has been deleted"
        )));
    }
    let (uid, claimed) = (meta::uid(&account), &reference.uid);
    if uid != *claimed {
        return Err(Rejected(format!(
            "service account UID ({uid}) does not match claim ({claimed})"
        )));
    }
    Ok(())
}

/// Something else, of a kind.
pub(super) async fn object(
    lookup: &dyn Lookup,
    kind: &str,
    namespace: &str,
    reference: &Reference,
) -> Result<(), Rejected> {
    let found = lookup.get(&format!("{kind}s"), namespace, &reference.name).await;
    let object = match found {
        Ok(Some(object)) if !is_gone(&object) => object,
        Ok(_) => return Err(Rejected(INVALIDATED.to_owned())),
        Err(error) => {
            tracing::warn!(namespace, name = reference.name, %error, "what a token is bound to can't be read");
            return Err(Rejected(INVALIDATED.to_owned()));
        }
    };
    let (uid, claimed) = (meta::uid(&object), &reference.uid);
    if uid != *claimed {
        return Err(Rejected(format!(
            "{kind} UID ({uid}) does not match service account {kind} ref claim ({claimed})"
        )));
    }
    Ok(())
}

/// A terminating object keeps its tokens working for its grace period and a minute.
fn is_gone(object: &Value) -> bool {
    meta::deletion_timestamp(object)
        .and_then(|text| text.parse::<jiff::Timestamp>().ok())
        .is_some_and(|time| time.as_second() + LEEWAY < jiff::Timestamp::now().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authentication::lookup::LookupError;
    use async_trait::async_trait;
    use serde_json::json;

    /// All that there is.
    struct One(Value);

    #[async_trait]
    impl Lookup for One {
        async fn get(&self, _: &str, _: &str, name: &str) -> Result<Option<Value>, LookupError> {
            Ok(Some(self.0.clone()).filter(|object| meta::name(object) == name))
        }

        async fn label(
            &self,
            _: &str,
            _: &str,
            _: &str,
            _: &str,
            _: (&str, &str),
        ) -> Result<(), LookupError> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn refusals_have_upstreams_words() {
        let there = json!({"metadata": {"name": "a", "uid": "u"}});
        let gone =
            json!({"metadata": {"name": "a", "uid": "u", "deletionTimestamp": "2020-01-01T00:00:00Z"}});
        for (object_there, name, uid, of_account, of_pod) in [
            (&there, "a", "u", "", ""),
            (&there, "b", "u", "serviceaccounts \"b\" not found", INVALIDATED),
            (
                &gone,
                "a",
                "v",
                "service account n/a has been deleted",
                INVALIDATED,
            ),
            (
                &there,
                "a",
                "v",
                "service account UID (u) does not match claim (v)",
                "pod UID (u) does not match service account pod ref claim (v)",
            ),
        ] {
            let (lookup, reference) = (
                One(object_there.clone()),
                Reference {
                    name: name.to_owned(),
                    uid: uid.to_owned(),
                },
            );
            let text =
                |outcome: Result<(), Rejected>| outcome.err().map(|refused| refused.0).unwrap_or_default();
            assert_eq!(text(account(&lookup, "n", &reference).await), of_account);
            assert_eq!(text(object(&lookup, "pod", "n", &reference).await), of_pod);
        }
    }
}
