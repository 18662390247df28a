//! TLS, and the secrets that are sent over it and seen by no guest.

use std::{fs, sync::Arc};

use http::header::AUTHORIZATION;
use rcgen::{CertificateParams, Issuer, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use terrace_capabilities_http::Config;
use terrace_ground_ids::TenantId;
use tokio_rustls::TlsAcceptor;
use wasmtime_wasi_http::Error as HttpError;

use crate::{
    World, config, empty,
    server::{Answer, Server, text},
};

/// An authority of our own, and servers that it vouches for.
struct Authority {
    folder: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.pem"), pem(certificate.der())).unwrap();
        Self {
            folder,
            issuer: Issuer::new(params, key),
        }
    }

    fn config(&self) -> Config {
        Config {
            ca_file: Some(self.folder.path().join("ca.pem")),
            ..config()
        }
    }

    fn acceptor(&self, names: &[&str]) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let certificate = CertificateParams::new(names)
            .unwrap()
            .signed_by(&key, &self.issuer)
            .unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// rcgen's own writer of PEM is a feature that nothing else here needs.
fn pem(der: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in der.chunks(48) {
        for three in line.chunks(3) {
            let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
            for at in 0..4 {
                let digit = ALPHABET[(bits >> (18 - 6 * at) & 63) as usize] as char;
                text.push(if at > three.len() { '=' } else { digit });
            }
        }
        text.push('\n');
    }
    text + "-----END CERTIFICATE-----\n"
}

async fn good() -> Answer {
    text("good")
}

#[tokio::test]
async fn a_certificate_has_to_be_the_hosts_and_its_authority_known() {
    let authority = Authority::new();
    let server = Server::start_with(Some(authority.acceptor(&["api.example"])), |_| good()).await;
    let rules = format!("allow = [\"https://*:{0}\", \"https://127.0.0.2:{0}\"]", server.port);
    let ask = async |world: &World, host: &str| {
        world.names.set("api.example", &["127.0.0.2"]);
        world.names.set("other.example", &["127.0.0.2"]);
        world
            .sender(&rules)
            .get(&format!("https://{host}:{}/", server.port))
            .await
    };
    let trusting = World::new(authority.config());
    assert_eq!(ask(&trusting, "api.example").await.unwrap(), (200, "good".to_owned()));
    for (world, host) in [
        (&trusting, "other.example"),
        (&trusting, "127.0.0.2"),
        (&World::new(config()), "api.example"),
    ] {
        let refused = ask(world, host).await.unwrap_err();
        assert!(matches!(refused, HttpError::TlsCertificateError), "{host}: {refused:?}");
    }
    // What speaks no TLS at all.
    let plain = Server::start(|_| good()).await;
    let sender = trusting.sender(&format!("allow = [\"127.0.0.2:{}\"]", plain.port));
    let refused = sender
        .get(&format!("https://127.0.0.2:{}/", plain.port))
        .await
        .unwrap_err();
    assert!(
        matches!(refused, HttpError::TlsProtocolError | HttpError::ConnectionTerminated),
        "{refused:?}"
    );
}

#[tokio::test]
async fn the_hosts_secret_goes_to_its_host_alone_and_the_guests_header_nowhere() {
    let authority = Authority::new();
    let tls = authority.acceptor(&["api.example", "pay.example", "eu.pay.example"]);
    let server = Server::start_with(Some(tls), |_| good()).await;
    let tenant = TenantId::random();
    let own = format!("{tenant}/api-key");
    let secrets = [
        ("api-key", "everybody"),
        (own.as_str(), "only-acme"),
        ("pay-key", "sk_1"),
        ("broken", "a\nb"),
    ];
    let world = World::with_secrets(authority.config(), &secrets);
    for name in ["api.example", "pay.example", "eu.pay.example", "a.pay.example"] {
        world.names.set(name, &["127.0.0.2"]);
    }
    let port = server.port;
    let section = format!(
        r#"allow = ["https://api.example:{port}", "https://*.pay.example:{port}", "https://eu.pay.example:{port}", "https://pay.example:{port}"]
        [credentials]
        "api.example:{port}" = {{ header = "authorization", secret = "api-key", prefix = "Bearer " }}
        "*.pay.example:{port}" = {{ header = "x-key", secret = "missing" }}
        "https://eu.pay.example:{port}" = {{ header = "X-Key", secret = "pay-key" }}
        "#
    );
    let send = async |sender: &crate::Sender, host: &str| {
        let request = http::Request::get(format!("https://{host}:{port}/"))
            .header("authorization", "Bearer forged")
            .header("authorization", "Bearer forged-too")
            .header("x-key", "forged")
            .body(empty())
            .unwrap();
        sender.send(request, None, 0).await.map(drop)
    };
    let everybody = world.sender(&section);
    let acme = world.sender_of(&section, tenant, "tasks");
    let all = |name: &str| {
        let head = server.last_head();
        head.headers
            .get_all(name)
            .iter()
            .map(|value| value.to_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };

    send(&everybody, "api.example").await.unwrap();
    assert_eq!(
        (all("authorization"), all("x-key")),
        (vec!["Bearer everybody".to_owned()], vec!["forged".to_owned()])
    );
    send(&acme, "api.example").await.unwrap();
    assert_eq!(all("authorization"), ["Bearer only-acme"]);
    // The most exact of two credentials; and no credential for the name that a wildcard leaves out.
    send(&acme, "eu.pay.example").await.unwrap();
    assert_eq!((all("x-key"), all("authorization").len()), (vec!["sk_1".to_owned()], 2));
    send(&acme, "pay.example").await.unwrap();
    assert_eq!(all("x-key"), ["forged"]);

    // A secret that is not there sends nothing, and says where to set it.
    let before = server.heads.lock().unwrap().len();
    let refused = send(&acme, "a.pay.example").await.unwrap_err();
    assert!(matches!(refused.code, HttpError::ConfigurationError));
    assert!(refused.reason.unwrap().contains("terrace secret set tasks missing"));
    let broken = world.sender(&format!(
        "allow = [\"api.example:{port}\"]\n[credentials]\n\"api.example:{port}\" = {{ header = \"{AUTHORIZATION}\", secret = \"broken\" }}"
    ));
    let refused = send(&broken, "api.example").await.unwrap_err();
    let reason = refused.reason.unwrap();
    assert!(
        reason.contains("cannot stand in a header") && !reason.contains("a\nb"),
        "{reason}"
    );
    assert_eq!(server.heads.lock().unwrap().len(), before);
}
