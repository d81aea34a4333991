use std::collections::BTreeMap;

use rusty_s3::actions::ListObjectsV2;

/// Pages of a listing, of a thousand objects each. A storage with more, or one that never ends, is not ours.
const MOST_PAGES: usize = 1000;

/// What a listing says of an object.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Object {
    pub key: String,
    pub bytes: u64,
}

/// Asks for page after page, each with the token that the one before gave. Sorted by key.
pub fn all(mut page: impl FnMut(Option<String>) -> anyhow::Result<Vec<u8>>) -> anyhow::Result<Vec<Object>> {
    let mut objects = BTreeMap::new();
    let mut token = None;
    for _ in 0..MOST_PAGES {
        let listed = ListObjectsV2::parse_response(&page(token)?)?;
        let found = listed.contents.into_iter();
        objects.extend(found.map(|found| (found.key, found.size)));
        token = listed.next_continuation_token;
        if token.is_none() {
            let sorted = objects.into_iter();
            return Ok(sorted.map(|(key, bytes)| Object { key, bytes }).collect());
        }
    }
    anyhow::bail!("it has more than {MOST_PAGES} pages; give the snapshots a bucket or a prefix of their own")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(keys: &[&str], token: &str) -> String {
        let contents: String = keys
            .iter()
            .map(|key| {
                format!(
                    "<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>\"e\"</ETag>\
                     <Size>7</Size><StorageClass>STANDARD</StorageClass></Contents>"
                )
            })
            .collect();
        let next = match token {
            "" => String::new(),
            token => format!("<NextContinuationToken>{token}</NextContinuationToken>"),
        };
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult><Name>b</Name><Prefix></Prefix>\
             <KeyCount>1</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>{contents}{next}\
             </ListBucketResult>"
        )
    }

    #[test]
    fn pages_follow_each_other() {
        let mut asked = Vec::new();
        let objects = all(|token| {
            asked.push(token.clone());
            Ok(match token.as_deref() {
                None => answer(&["b"], "second"),
                _ => answer(&["a", "b"], ""),
            }
            .into_bytes())
        });
        let keys: Vec<String> = objects.unwrap().into_iter().map(|object| object.key).collect();
        assert_eq!(keys, ["a", "b"]);
        assert_eq!(asked, [None, Some("second".to_owned())]);
    }

    #[test]
    fn a_listing_without_end_ends() {
        let error = all(|_| Ok(answer(&["a"], "again").into_bytes())).unwrap_err();
        assert!(error.to_string().contains("more than 1000 pages"), "{error}");
    }

    proptest::proptest! {
        #[test]
        fn no_listing_makes_it_panic(
            at in 0usize..600,
            length in 0usize..80,
            with in "(?s)(<(/)?(Key|Size|Contents|ListBucketResult)>|-1|99999999999999999999|&#0;|&x;|<!--|.){0,6}",
        ) {
            let mut text = answer(&["a/x.db", "b"], "").into_bytes();
            let at = at.min(text.len());
            text.splice(at..(at + length).min(text.len()), with.bytes());
            // One page is asked for, whatever its token says.
            let mut pages = 0;
            let listed = all(|_| {
                pages += 1;
                anyhow::ensure!(pages == 1, "a second page");
                Ok(text.clone())
            });
            if let Ok(objects) = listed {
                proptest::prop_assert!(objects.is_sorted_by(|a, b| a.key < b.key));
            }
        }
    }
}
