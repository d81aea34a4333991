use super::*;

fn flags(words: &[&str]) -> ApiServerFlags {
    let least = [
        "kube-apiserver",
        "--etcd-servers=http://127.0.0.1:2379",
        "--service-account-issuer=https://own",
    ];
    let line = least.iter().chain(words).map(|word| (*word).to_owned());
    component_config::kube_apiserver::parse(line).unwrap()
}

fn file(text: &str) -> Result<FromFile, String> {
    let text = format!("apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\n{text}");
    from_file(&flags(&[]), &text, &Egress::default()).map_err(|error| format!("{error:#}"))
}

const MAPPINGS: &str = "claimMappings: {username: {claim: sub, prefix: ''}}";

#[test]
fn issuers_and_their_mistakes() {
    let jwt = |issuer: &str| format!("{{issuer: {{{issuer}}}, {MAPPINGS}}}");
    for (issuers, expected) in [
        (vec!["url: 'https://x', audiences: [a]"], None),
        (vec!["url: 'https://x?', audiences: [a]"], None),
        (
            vec!["url: 'https://x', audiences: [a, b], audienceMatchPolicy: MatchAny"],
            None,
        ),
        (vec!["audiences: [a]"], Some("jwt[0].issuer.url: Required value")),
        (
            vec!["url: 'https://own', audiences: [a]"],
            Some("URL must not overlap with disallowed issuers: [https://own]"),
        ),
        (
            vec!["url: 'http://x', audiences: [a]"],
            Some("URL scheme must be https"),
        ),
        (
            vec!["url: 'https://@x', audiences: [a]"],
            Some("a username or password"),
        ),
        (
            vec!["url: 'https://:p@x', audiences: [a]"],
            Some("a username or password"),
        ),
        (vec!["url: 'https://x?a', audiences: [a]"], Some("a query")),
        (vec!["url: 'https://x#a', audiences: [a]"], Some("a fragment")),
        // What is a URL is as Go has it.
        (vec!["url: 'https://', audiences: [a]"], None),
        (vec!["url: 'https://x:99999', audiences: [a]"], None),
        (
            vec!["url: 'https://x/%zz', audiences: [a]"],
            Some("parse \"https://x/%zz\": invalid URL escape"),
        ),
        (
            vec!["url: ' https://x', audiences: [a]"],
            Some("first path segment in URL cannot contain colon"),
        ),
        (
            vec!["url: \"https://x\\n\", audiences: [a]"],
            Some("invalid control character in URL"),
        ),
        (
            vec!["url: 'https://x', audiences: []"],
            Some("jwt[0].issuer.audiences: Required value: at least one jwt[0].issuer.audiences is required"),
        ),
        (
            vec!["url: 'https://x', audiences: [a, a], audienceMatchPolicy: MatchAny"],
            Some("jwt[0].issuer.audiences[1]: Duplicate value: \"a\""),
        ),
        (
            vec!["url: 'https://x', audiences: [a, b]"],
            Some("must be MatchAny for multiple"),
        ),
        (
            vec![
                "url: 'https://x', audiences: [a]",
                "url: 'https://x', audiences: [b]",
            ],
            Some("jwt[1].issuer.url: Duplicate value: \"https://x\""),
        ),
        (
            vec![
                "url: 'https://x', audiences: [a], discoveryURL: 'https://d'",
                "url: 'https://y', audiences: [b], discoveryURL: 'https://d'",
            ],
            Some("jwt[1].issuer.discoveryURL: Duplicate value: \"https://d\""),
        ),
        (
            vec!["url: 'https://x', audiences: [a]"; 65],
            Some("jwt: Too many: 65: must have at most 64 items"),
        ),
        (
            vec!["url: 'https://x', audiences: [a], egressSelectorType: else"],
            Some("egress selector must be either controlplane or cluster"),
        ),
        (
            vec!["url: 'https://x', audiences: [a], certificateAuthority: none"],
            Some("jwt[0].issuer.certificateAuthority: Invalid value: \"<omitted>\""),
        ),
        (
            vec!["url: 'http://x', audiences: [a]", "audiences: [a]"],
            Some(
                "[jwt[0].issuer.url: Invalid value: \"http://x\": URL scheme must be https, jwt[1].issuer.url: Required value]",
            ),
        ),
    ] {
        let listed: Vec<String> = issuers.iter().map(|issuer| jwt(issuer)).collect();
        let told = file(&format!("jwt: [{}]", listed.join(", "))).err();
        match expected {
            None => assert_eq!(told, None, "{issuers:?}"),
            Some(part) => assert!(
                told.as_ref().is_some_and(|told| told.contains(part)),
                "{issuers:?}: {told:?}"
            ),
        }
    }
}

#[test]
fn flags_describe_one_issuer() {
    let both = ["--oidc-issuer-url=https://x", "--oidc-client-id=a"];
    for (words, expected) in [
        (&[][..], Ok(0)),
        (&both, Ok(1)),
        (
            &[
                both[0],
                both[1],
                "--oidc-required-claim=a=b,c",
                "--oidc-required-claim=a=d",
            ],
            Ok(1),
        ),
        (
            &["--oidc-username-claim=email"],
            Err("must be specified together when any"),
        ),
        (
            &["--oidc-issuer-url=https://x"],
            Err("must be specified together when any"),
        ),
        (&[both[0], both[1], "--oidc-signing-algs=HS256"], Err("HS256")),
        (
            &[both[0], both[1], "--oidc-required-claim=a"],
            Err("is not claim=value"),
        ),
        (
            &["--oidc-issuer-url=http://x", both[1]],
            Err("URL scheme must be https"),
        ),
        (
            &["--authentication-config=/none", "--oidc-username-claim=sub"],
            Err("authentication-config file and oidc-* flags are mutually exclusive"),
        ),
    ] {
        let outcome = load(&flags(words), &Clients::new(None), &Egress::default());
        match (outcome, expected) {
            (Ok(found), Ok(0)) => assert!(found.issuers.is_empty(), "{words:?}"),
            (Ok(found), Ok(_)) => assert!(!found.issuers.is_empty(), "{words:?}"),
            (Err(error), Err(part)) => assert!(format!("{error:#}").contains(part), "{words:?}: {error:#}"),
            (outcome, _) => panic!("{words:?}: {:?}", outcome.err()),
        }
    }
}

#[test]
fn anonymous_access_is_said_in_one_place() {
    let always = "--authorization-mode=AlwaysAllow";
    for (text, words, expected) in [
        ("", &[][..], Ok(true)),
        ("", &["--anonymous-auth=false"], Ok(false)),
        ("", &[always], Ok(false)),
        ("anonymous: {}", &[], Ok(false)),
        ("anonymous: {enabled: true}", &[], Ok(true)),
        ("anonymous: {enabled: false}", &[always], Ok(false)),
        (
            "anonymous: {enabled: true}",
            &["--anonymous-auth=true"],
            Err("--anonymous-auth flag cannot be set"),
        ),
        (
            "anonymous: {enabled: true}",
            &["--anonymous-auth=false"],
            Err("--anonymous-auth flag cannot be set"),
        ),
        ("anonymous: {enabled: true}", &[always], Err("AlwaysAllow")),
    ] {
        let found = file(text).unwrap();
        match (anonymous_access(&flags(words), found.anonymous), expected) {
            (Ok(anonymous), Ok(allowed)) => assert_eq!(anonymous.allows("/api"), allowed, "{text} {words:?}"),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (outcome, _) => panic!("{text} {words:?}: {outcome:?}"),
        }
    }
    let told = file("anonymous: {conditions: [{path: /livez}]}").err().unwrap();
    assert!(
        told.contains("enabled should be set to true when conditions are defined"),
        "{told}"
    );
}
