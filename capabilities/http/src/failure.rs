//! What went wrong on the wire, in the words of `wasi:http`.

use std::io;

use terrace_compute_capability::Refusal;
use wasmtime_wasi_http::Error as HttpError;

use crate::{dial::is_unroutable, rules::Target};

/// No connection to an address.
pub(crate) fn of_connecting(error: &io::Error) -> HttpError {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => HttpError::ConnectionRefused,
        io::ErrorKind::TimedOut => HttpError::ConnectionTimeout,
        _ if is_unroutable(error) => HttpError::DestinationIpUnroutable,
        _ => HttpError::DestinationUnavailable,
    }
}

/// No TLS session.
pub(crate) fn of_tls(error: &io::Error, target: &Target) -> Refusal {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let code = match inner {
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
            HttpError::TlsCertificateError
        }
        Some(rustls::Error::AlertReceived(alert)) => HttpError::TlsAlertReceived {
            alert_id: Some(u8::from(*alert)),
            alert_message: alert.as_str().map(str::to_owned),
        },
        Some(_) => HttpError::TlsProtocolError,
        None if error.kind() == io::ErrorKind::UnexpectedEof => HttpError::ConnectionTerminated,
        None => HttpError::TlsProtocolError,
    };
    Refusal {
        code,
        reason: Some(format!("http: no TLS with {target}: {error}")),
    }
}

/// No response, or not to its end.
pub(crate) fn of_exchange(error: hyper::Error) -> HttpError {
    // The guest's own body may be what failed.
    let inner = std::error::Error::source(&error).and_then(|inner| inner.downcast_ref::<HttpError>());
    match inner {
        Some(HttpError::HttpRequestBodySize(size)) => return HttpError::HttpRequestBodySize(*size),
        Some(_) => return HttpError::ConnectionTerminated,
        None => {}
    }
    if error.is_parse_too_large() {
        HttpError::HttpResponseHeaderSectionSize(None)
    } else if error.is_parse() {
        HttpError::HttpProtocolError
    } else if error.is_timeout() {
        HttpError::HttpResponseTimeout
    } else if error.is_incomplete_message() {
        HttpError::HttpResponseIncomplete
    } else {
        HttpError::ConnectionTerminated
    }
}
