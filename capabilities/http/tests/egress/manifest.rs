//! What a manifest may say, and what it is told when it says something else.

use terrace_capabilities_http::{Config, Rules};

fn error(section: &str) -> String {
    toml::from_str::<Rules>(section)
        .map(drop)
        .unwrap_err()
        .message()
        .to_owned()
}

#[test]
fn a_host_has_one_form_and_is_shown_in_it() {
    for (written, shown) in [
        ("https://api.example.com", "https://api.example.com"),
        ("api.example.com", "https://api.example.com"),
        ("API.Example.com.", "https://api.example.com"),
        ("*.stripe.com:443", "https://*.stripe.com"),
        ("api.example.com:8443", "https://api.example.com:8443"),
        ("http://metrics.internal:9090", "http://metrics.internal:9090"),
        ("http://localhost", "http://localhost"),
        ("https://*", "https://*"),
        ("10.1.2.3", "https://10.1.2.3"),
        ("https://[2001:DB8::1]:8443", "https://[2001:db8::1]:8443"),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
    ] {
        let rules: Rules = toml::from_str(&format!("allow = [\"{written}\"]")).unwrap();
        assert_eq!(rules.allowed().collect::<Vec<_>>(), [shown]);
    }
    assert!(toml::from_str::<Rules>("").unwrap().is_empty());
}

#[test]
fn a_bad_spelling_is_refused_with_a_sentence_that_says_what_to_write() {
    for (written, says) in [
        ("https://api.example.com/", "a path cannot be allowed"),
        ("https://api.example.com/v1", "a path cannot be allowed"),
        ("https://api.example.com?a", "a path cannot be allowed"),
        ("https://api.example.com#a", "a path cannot be allowed"),
        ("https://api.example.com\\\\@b", "a path cannot be allowed"),
        ("https://user@api.example.com", "a user cannot be allowed"),
        ("https://user:pw@api.example.com", "a user cannot be allowed"),
        ("ftp://api.example.com", "the scheme is `https` or `http`"),
        ("HTTPS://api.example.com", "the scheme is `https` or `http`"),
        ("https://", "is no host name"),
        ("", "is no host name"),
        ("api example.com", "white space"),
        ("api.example.com:", "is no port"),
        ("api.example.com:0", "is no port"),
        ("api.example.com:0443", "is no port"),
        ("api.example.com:65536", "is no port"),
        ("api.example.com:https", "is no port"),
        ("api.example.com:*", "is no port"),
        ("*.com", "a wildcard stands for names below a domain"),
        ("*.*.example.com", "is no host name"),
        ("api.*.example.com", "a wildcard is the first label"),
        ("api*.example.com", "a wildcard is the first label"),
        ("*.1.2.3", "unusual spelling"),
        ("*.1.2.3.4", "a wildcard stands for names, not for addresses"),
        ("127.1", "unusual spelling"),
        ("2130706433", "unusual spelling"),
        ("0x7f.0.0.1", "unusual spelling"),
        ("0177.0.0.1", "unusual spelling"),
        ("[::1", "is no IPv6 address"),
        ("[fe80::1%eth0]", "is no IPv6 address"),
        ("::1", "is no"),
        ("bücher.example", "Punycode"),
        ("a..example.com", "is no host name"),
        ("-a.example.com", "is no host name"),
    ] {
        let said = error(&format!("allow = [\"{written}\"]"));
        assert!(said.contains(says), "{written}: {said}");
    }
}

#[test]
fn a_credential_is_for_a_listed_host_over_tls_in_a_header_that_may_carry_it() {
    let section = |allow: &str, host: &str, rest: &str| {
        error(&format!(
            "allow = [\"{allow}\"]\n[credentials]\n\"{host}\" = {{ {rest} }}"
        ))
    };
    let good = "header = \"authorization\", secret = \"k\"";
    assert!(section("a.example", "b.example", good).contains("which http.allow does not list"));
    assert!(section("http://a.example", "http://a.example", good).contains("over https only"));
    assert!(section("https://*", "https://*", good).contains("for known hosts"));
    for header in ["host", "transfer-encoding", "connection", "content-length", "upgrade"] {
        let rest = format!("header = \"{header}\", secret = \"k\"");
        assert!(
            section("a.example", "a.example", &rest).contains("not a header that a secret can be in"),
            "{header}"
        );
    }
    assert!(section("a.example", "a.example", "header = \"a b\", secret = \"k\"").contains("no name of a header"));
    assert!(section("a.example", "a.example", "header = \"a\", secret = \"K K\"").contains("is not a setting name"));
    assert!(
        section(
            "a.example",
            "a.example",
            "header = \"a\", secret = \"k\", prefix = \"\\n\""
        )
        .contains("visible ASCII")
    );
    assert!(section("a.example", "a.example", "header = \"a\", secrt = \"k\"").contains("unknown field `secrt`"));
}

#[test]
fn what_a_manifest_may_ask_for_has_an_upper_end() {
    assert!(error("requests = 1001").contains("at most 1000"));
    assert!(error("response_body_kib = 1048577").contains("at most 1048576"));
    let many: Vec<String> = (0..257).map(|at| format!("\"h{at}.example\"")).collect();
    assert!(error(&format!("allow = [{}]", many.join(","))).contains("at most 256"));
    assert!(error("allowed = []").contains("unknown field `allowed`"));
}

#[test]
fn an_operators_ranges_are_ranges() {
    let config: Config = toml::from_str("open = [\"10.20.0.0/16\", \"::1/128\"]").unwrap();
    assert_eq!(config.open.len(), 2);
    assert!(toml::from_str::<Config>("open = [\"10.20.0.0/33\"]").is_err());
    assert!(toml::from_str::<Config>("open = [\"localhost\"]").is_err());
}
