//! Which tenant a host name belongs to.

use std::sync::Arc;

use terrace_compute_capability::TenantFacts;

/// The gateway's question to the directory. Asked once per request, so it must answer from memory.
pub trait Tenants: Send + Sync + 'static {
    /// The tenant whose slug is `label`, the first label of the host.
    fn by_label(&self, label: &str) -> Option<Resolved>;
}

/// A tenant, as far as a request needs it.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// What services may know of it.
    pub facts: Arc<TenantFacts>,
    /// Whether it may be used.
    pub state: TenantState,
}

/// Whether a tenant may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TenantState {
    /// In use.
    Active,
    /// Put on hold by an operator: its data is kept, its requests are refused.
    Suspended,
    /// Not there yet, or not any more.
    Absent,
}

/// The label before `.base_domain` in a Host header, without its port: `acme` for
/// `acme.localhost:8080` and `localhost`. None for the bare domain, deeper names and other domains.
pub fn host_label<'a>(host: &'a str, base_domain: &str) -> Option<&'a str> {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    // The trailing dot of a fully qualified name is the same name.
    let name = name.strip_suffix('.').unwrap_or(name);
    let split = name.len().checked_sub(base_domain.len() + 1)?;
    if !name.is_char_boundary(split) {
        return None;
    }
    let (label, domain) = name.split_at(split);
    let rest = domain.strip_prefix('.')?;
    (rest.eq_ignore_ascii_case(base_domain) && !label.is_empty() && !label.contains('.')).then_some(label)
}

#[cfg(test)]
mod tests {
    use super::host_label;

    #[test]
    fn only_one_label_before_the_base_domain_names_a_tenant() {
        assert_eq!(host_label("acme.localhost:8080", "localhost"), Some("acme"));
        assert_eq!(host_label("acme.Example.com", "example.com"), Some("acme"));
        assert_eq!(host_label("acme.localhost.:8080", "localhost"), Some("acme"));
        for stranger in [
            "localhost",
            "localhost:8080",
            "a.b.localhost",
            ".localhost",
            "acme.evil",
            "acmelocalhost",
            "évil.localhos",
            "",
        ] {
            assert_eq!(host_label(stranger, "localhost"), None, "{stranger}");
        }
    }
}
