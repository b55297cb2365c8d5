//! A load balancer for TCP, as small as it can be: the first node that accepts gets the connection.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// A balancer. Dropping it ends its connections.
pub(crate) struct Balancer {
    pub(crate) addr: SocketAddr,
    nodes: Arc<Mutex<Vec<SocketAddr>>>,
    /// Changes whenever all connections are cut.
    cuts: watch::Sender<()>,
    accepting: JoinHandle<()>,
}

impl Balancer {
    pub(crate) async fn start(nodes: &[SocketAddr]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let nodes = Arc::new(Mutex::new(nodes.to_vec()));
        let cuts = watch::Sender::new(());
        let accepting = tokio::spawn(accept(listener, Arc::clone(&nodes), cuts.clone()));
        Self { addr, nodes, cuts, accepting }
    }

    /// Sets the nodes. Connections that exist stay.
    pub(crate) fn set_nodes(&self, nodes: &[SocketAddr]) {
        *self.nodes.lock().unwrap() = nodes.to_vec();
    }

    /// Ends all connections, and every new one at once.
    pub(crate) fn cut(&self) {
        self.set_nodes(&[]);
        self.cuts.send_replace(());
    }
}

async fn accept(listener: TcpListener, nodes: Arc<Mutex<Vec<SocketAddr>>>, cuts: watch::Sender<()>) {
    loop {
        let Ok((mut peer, _)) = listener.accept().await else { return };
        let nodes = nodes.lock().unwrap().clone();
        let mut cut = cuts.subscribe();
        tokio::spawn(async move {
            let Some(mut node) = first(&nodes).await else { return };
            tokio::select! {
                // An end with an error is an end, too.
                _ = copy_bidirectional(&mut peer, &mut node) => {}
                // An error means that the balancer is gone.
                _ = cut.changed() => {}
            }
        });
    }
}

async fn first(nodes: &[SocketAddr]) -> Option<TcpStream> {
    for node in nodes {
        if let Ok(stream) = TcpStream::connect(node).await {
            return Some(stream);
        }
    }
    None
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cuts.send_replace(());
    }
}
