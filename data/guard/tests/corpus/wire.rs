//! A naive client: it sends what it is given, over either protocol, and keeps every byte that comes
//! back. The tests that try a fence alone use it, so that nothing of ours stands in between.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
};

use bytes::{Buf, BytesMut};
use postgres_protocol::{
    IsNull,
    authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256},
    message::{
        backend::{Header, Message},
        frontend,
    },
};

use crate::corpus::Attack;

/// How a statement travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// One `Query` message, which may hold several statements.
    Simple,
    /// `Parse`, `Bind`, `Execute`.
    Extended,
}

/// A connection.
pub(crate) struct Wire {
    stream: UnixStream,
    input: BytesMut,
    /// The process at the other end.
    pub(crate) pid: i32,
    /// The server has closed it.
    pub(crate) is_over: bool,
}

/// What came back.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    /// Every byte of every message: rows, errors, notices, COPY data.
    pub(crate) bytes: Vec<u8>,
    /// Whether a message said ERROR or FATAL.
    pub(crate) has_error: bool,
}

impl Reply {
    /// Whether this text came back, in any message.
    pub(crate) fn contains(&self, text: &str) -> bool {
        self.bytes.windows(text.len()).any(|window| window == text.as_bytes())
    }
}

impl Wire {
    pub(crate) fn connect(socket_dir: &Path, port: u16, user: &str, password: &str, database: &str) -> Self {
        let stream = UnixStream::connect(socket_dir.join(format!(".s.PGSQL.{port}"))).unwrap();
        let mut wire = Self {
            stream,
            input: BytesMut::new(),
            pid: 0,
            is_over: false,
        };
        let mut out = BytesMut::new();
        let parameters = [
            ("user", user),
            ("database", database),
            ("search_path", "pg_catalog"),
            ("client_encoding", "UTF8"),
        ];
        frontend::startup_message(parameters, &mut out).unwrap();
        wire.send(&mut out);
        wire.authenticate(password);
        loop {
            match wire.message() {
                Message::BackendKeyData(body) => wire.pid = body.process_id(),
                Message::ReadyForQuery(_) => return wire,
                Message::ErrorResponse(_) => panic!("no connection as {user}"),
                _ => {}
            }
        }
    }

    /// Sends one text as it is.
    pub(crate) fn simple(&mut self, sql: &str) -> Reply {
        let mut out = BytesMut::new();
        if frontend::query(sql, &mut out).is_err() {
            return Reply::default();
        }
        self.send(&mut out);
        self.reply(Protocol::Simple)
    }

    /// Sends an attack.
    pub(crate) fn attack(&mut self, attack: &Attack, protocol: Protocol) -> Reply {
        match (protocol, &attack.param) {
            (Protocol::Extended, param) => self.extended(&attack.sql, param.as_deref()),
            (Protocol::Simple, None) => self.simple(&attack.sql),
            (Protocol::Simple, Some(param)) => {
                let literal = format!("'{}'", param.replace('\'', "''"));
                self.simple(&attack.sql.replace("$1", &literal))
            }
        }
    }

    /// Parses, binds and executes; all in text format.
    pub(crate) fn extended(&mut self, sql: &str, param: Option<&str>) -> Reply {
        let mut out = BytesMut::new();
        if frontend::parse("", sql, std::iter::empty(), &mut out).is_err() {
            return Reply::default();
        }
        frontend::describe(b'S', "", &mut out).unwrap();
        frontend::bind(
            "",
            "",
            std::iter::empty::<i16>(),
            param,
            |text: &str, out: &mut BytesMut| {
                out.extend_from_slice(text.as_bytes());
                Ok(IsNull::No)
            },
            std::iter::empty::<i16>(),
            &mut out,
        )
        .unwrap_or_else(|_| panic!("bind {sql}"));
        frontend::execute("", 0, &mut out).unwrap();
        frontend::sync(&mut out);
        self.send(&mut out);
        self.reply(Protocol::Extended)
    }

    fn reply(&mut self, protocol: Protocol) -> Reply {
        let mut reply = Reply::default();
        while !self.is_over {
            let Some(frame) = self.frame() else { break };
            reply.bytes.extend_from_slice(&frame);
            match frame[0] {
                b'E' => reply.has_error = true,
                // CopyInResponse: there is nothing to give. A Sync that was sent before is ignored.
                b'G' => {
                    let mut out = BytesMut::new();
                    frontend::copy_fail("no", &mut out).unwrap();
                    if protocol == Protocol::Extended {
                        frontend::sync(&mut out);
                    }
                    self.send(&mut out);
                }
                b'Z' => return reply,
                _ => {}
            }
        }
        self.is_over = true;
        reply.has_error = true;
        reply
    }

    fn authenticate(&mut self, password: &str) {
        let mut out = BytesMut::new();
        match self.message() {
            Message::AuthenticationOk => return,
            Message::AuthenticationSasl(_) => {}
            _ => panic!("an authentication other than SCRAM"),
        }
        let mut scram = ScramSha256::new(password.as_bytes(), ChannelBinding::unsupported());
        frontend::sasl_initial_response(SCRAM_SHA_256, scram.message(), &mut out).unwrap();
        self.send(&mut out);
        let Message::AuthenticationSaslContinue(body) = self.message() else {
            panic!("no SCRAM challenge")
        };
        scram.update(body.data()).unwrap();
        frontend::sasl_response(scram.message(), &mut out).unwrap();
        self.send(&mut out);
        let Message::AuthenticationSaslFinal(body) = self.message() else {
            panic!("the password is refused")
        };
        scram.finish(body.data()).unwrap();
        assert!(matches!(self.message(), Message::AuthenticationOk));
    }

    fn send(&mut self, out: &mut BytesMut) {
        if self.stream.write_all(out).is_err() {
            self.is_over = true;
        }
        out.clear();
    }

    fn message(&mut self) -> Message {
        let mut frame = self.frame().unwrap();
        Message::parse(&mut frame).unwrap().unwrap()
    }

    /// One message, whole; none when the server has gone.
    fn frame(&mut self) -> Option<BytesMut> {
        loop {
            if let Some(header) = Header::parse(&self.input).unwrap() {
                let total = usize::try_from(header.len()).unwrap() + 1;
                if self.input.remaining() >= total {
                    return Some(self.input.split_to(total));
                }
            }
            let mut chunk = [0_u8; 16 * 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.input.extend_from_slice(&chunk[..count]),
            }
        }
    }
}
