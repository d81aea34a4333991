//! Image names: validity, and the tag that is meant when there is none.

/// A name that no runtime takes.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("couldn't parse image name \"{0}\": invalid reference format")]
pub struct NameError(String);

/// The name with a tag or digest, its registry left as written.
pub fn normalize(image: &str) -> Result<String, NameError> {
    let refuse = || NameError(image.to_owned());
    let (rest, digest) = match image.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (image, None),
    };
    let last_part = rest.rsplit('/').next().unwrap_or(rest);
    let (name, tag) = match last_part.split_once(':') {
        Some((_, tag)) => (&rest[..rest.len() - tag.len() - 1], Some(tag)),
        None => (rest, None),
    };
    let mut parts: Vec<&str> = name.split('/').collect();
    let registry = parts.len() > 1 && (parts[0].contains(['.', ':']) || parts[0] == "localhost");
    if registry {
        let host = parts.remove(0);
        let fits = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
        if host.is_empty() || !host.chars().all(fits) {
            return Err(refuse());
        }
    }
    if !parts.iter().all(|part| is_component(part)) || name.len() > 255 {
        return Err(refuse());
    }
    let is_tag = |tag: &str| {
        !tag.is_empty()
            && tag.len() <= 128
            && !tag.starts_with(['.', '-'])
            && tag
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
    };
    if tag.is_some_and(|tag| !is_tag(tag)) {
        return Err(refuse());
    }
    if let Some(digest) = digest {
        let fits = digest.split_once(':').is_some_and(|(algorithm, hex)| {
            !algorithm.is_empty() && hex.len() >= 32 && hex.chars().all(|c| c.is_ascii_hexdigit())
        });
        return if fits { Ok(image.to_owned()) } else { Err(refuse()) };
    }
    Ok(if tag.is_some() {
        image.to_owned()
    } else {
        format!("{image}:latest")
    })
}

/// Lower-case letters and digits, with single dots, one or two underscores, or dashes between them.
fn is_component(part: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    edge(part.chars().next())
        && edge(part.chars().last())
        && part
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c))
        && !part.contains("..")
        && !part.contains("___")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_and_completed() {
        for (image, want) in [
            ("busybox", Some("busybox:latest")),
            ("busybox:1", Some("busybox:1")),
            ("localhost:5000/a/b", Some("localhost:5000/a/b:latest")),
            ("example.org/a/b:v1.2", Some("example.org/a/b:v1.2")),
            (
                "a@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
                Some("a@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
            ),
            ("", None),
            ("Upper", None),
            ("a:", None),
            ("a b", None),
            ("a//b", None),
            ("a@sha256:xyz", None),
            ("docker.io/UPPER/x", None),
        ] {
            assert_eq!(normalize(image).ok().as_deref(), want, "{image}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_makes_it_panic(image in ".*") {
            let _ = normalize(&image);
        }
    }
}
