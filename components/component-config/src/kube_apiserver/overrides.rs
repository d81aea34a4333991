//! `--etcd-servers-overrides`: resources that other etcd servers keep.

/// One resource with its servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServersOverride {
    /// Empty for the core group.
    pub group: String,
    pub resource: String,
    /// URLs.
    pub servers: Vec<String>,
}

/// Parses `group/resource#url;url`.
pub fn parse(text: &str) -> Result<ServersOverride, String> {
    let form =
        || format!("{text:?} is not of the form group/resource#servers, such as /events#https://etcd:2379");
    let (resource, servers) = text.split_once('#').ok_or_else(form)?;
    let (group, resource) = resource.split_once('/').ok_or_else(form)?;
    let servers: Vec<String> = servers.split(';').map(|url| url.trim().to_owned()).collect();
    if resource.is_empty() || resource.contains('/') || servers.iter().any(String::is_empty) {
        return Err(form());
    }
    for server in &servers {
        if !server.starts_with("http://") && !server.starts_with("https://") {
            return Err(format!("{server:?} of {text:?} is no URL"));
        }
    }
    Ok(ServersOverride {
        group: group.to_owned(),
        resource: resource.to_owned(),
        servers,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_with_its_servers() {
        let one = parse("/events#https://a:2379;https://b:2379").unwrap();
        assert_eq!((one.group.as_str(), one.resource.as_str()), ("", "events"));
        assert_eq!(one.servers, ["https://a:2379", "https://b:2379"]);
        assert_eq!(parse("apps/deployments#http://a:1").unwrap().group, "apps");
        for text in [
            "",
            "events#http://a:1",
            "/events",
            "/events#",
            "/#http://a:1",
            "/events#a:1",
            "/events#http://a:1;",
            "a/b/c#http://a:1",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
