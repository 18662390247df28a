//! A gate before a server's socket: each connection waits there until the test lets it in or turns it away.

use std::{path::PathBuf, time::Duration};

use terrace_data_embedded::testing::Scratch;
use terrace_data_router::Address;
use tokio::{
    io::copy_bidirectional,
    net::{UnixListener, UnixStream},
    sync::mpsc,
    time::timeout,
};

const PORT: u16 = 1;
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Gate {
    server: PathBuf,
    folder: tempfile::TempDir,
    arrivals: mpsc::UnboundedReceiver<UnixStream>,
}

impl Gate {
    pub(crate) fn before(scratch: &Scratch) -> Self {
        let connection = scratch.connection();
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join(format!(".s.PGSQL.{PORT}"))).unwrap();
        let (sender, arrivals) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if sender.send(stream).is_err() {
                    break;
                }
            }
        });
        Self {
            server: connection.socket_dir.join(format!(".s.PGSQL.{}", connection.port)),
            folder,
            arrivals,
        }
    }

    pub(crate) fn address(&self) -> Address {
        Address::Unix {
            dir: self.folder.path().to_owned(),
            port: PORT,
        }
    }

    /// The next one that arrived and waits. Dropping it turns it away.
    pub(crate) async fn next(&mut self) -> UnixStream {
        // Panics when nobody comes.
        timeout(PATIENCE, self.arrivals.recv()).await.unwrap().unwrap()
    }

    pub(crate) async fn let_next_in(&mut self) {
        let arrived = self.next().await;
        self.let_in(arrived).await;
    }

    /// Whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.arrivals.is_empty()
    }

    pub(crate) async fn let_in(&self, mut arrived: UnixStream) {
        let mut server = UnixStream::connect(&self.server).await.unwrap();
        tokio::spawn(async move { copy_bidirectional(&mut arrived, &mut server).await });
    }
}
