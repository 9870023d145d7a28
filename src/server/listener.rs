//! Where a face listens, and whether it may.

use std::net::{SocketAddr, TcpListener, ToSocketAddrs};

use anyhow::{Context, anyhow, ensure};

/// A bound address of one of the server's faces.
pub(super) struct Face {
    listener: TcpListener,
    address: SocketAddr,
}

impl Face {
    /// Binds HOST:PORT (port 0 takes a free one). `name` is the option that gave it.
    ///
    /// # Errors
    /// If other machines can reach the address without `insecure`, or if it cannot be bound.
    pub(super) fn bind(name: &str, address: &str, insecure: bool) -> anyhow::Result<Self> {
        let resolved: Vec<SocketAddr> = address
            .to_socket_addrs()
            .with_context(|| format!("--{name} {address}: not an address such as 127.0.0.1:8081"))?
            .collect();
        let first = resolved.first().ok_or_else(|| anyhow!("--{name} {address}: no such host"))?;
        ensure!(
            insecure || first.ip().is_loopback(),
            "--{name} {address}: other machines can reach that address, and nothing here asks who they are or encrypts \
             what is said. Listen on 127.0.0.1, or say --insecure if the network keeps strangers out"
        );
        let listener = TcpListener::bind(first)
            .with_context(|| format!("--{name} {address}: cannot listen there"))?;
        let address = listener.local_addr().context("a bound socket has no address")?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The listener, for tasks of this runtime.
    ///
    /// # Errors
    /// If the system refuses.
    pub(super) fn listen(
        self,
        runtime: &tokio::runtime::Runtime,
    ) -> anyhow::Result<tokio::net::TcpListener> {
        self.listener.set_nonblocking(true).context("cannot listen without blocking")?;
        let _inside = runtime.enter();
        tokio::net::TcpListener::from_std(self.listener).context("cannot listen")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_others_can_reach_need_to_be_asked_for() {
        assert!(Face::bind("http", "127.0.0.1:0", false).unwrap().address().port() > 0);
        assert!(Face::bind("http", "localhost:0", false).is_ok());
        let refused = Face::bind("http", "0.0.0.0:0", false).err().unwrap().to_string();
        assert!(
            refused.contains("--http 0.0.0.0:0") && refused.contains("--insecure"),
            "{refused}"
        );
        assert!(Face::bind("http", "0.0.0.0:0", true).is_ok());
        let wrong = Face::bind("pg", "here", false).err().unwrap().to_string();
        assert!(wrong.contains("--pg here"), "{wrong}");
    }
}
