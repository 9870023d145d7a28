//! A `riverrun server` as a process.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use riverrun::server::HttpClient;
use rustix::process::{Pid, Signal, kill_process};

use super::riverrun;

/// A running server; killed when it is dropped.
pub struct Server {
    child: Child,
    ready: String,
}

impl Server {
    /// Starts one on free ports and waits until it is ready.
    pub fn start(data_dir: &Path) -> Self {
        Self::start_with(riverrun().arg("server").arg("--data-dir").arg(data_dir))
    }

    /// Starts one with this command, to which free ports are added.
    pub fn start_with(command: &mut Command) -> Self {
        let mut child = command
            .args(["--http", "127.0.0.1:0", "--pg", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server can be started");
        let mut ready = String::new();
        BufReader::new(child.stdout.as_mut().expect("standard output is piped"))
            .read_line(&mut ready)
            .expect("standard output can be read");
        if ready.is_empty() {
            let mut stderr = String::new();
            let _ =
                child.stderr.take().expect("standard error is piped").read_to_string(&mut stderr);
            panic!("the server did not start:\n{stderr}");
        }
        Self { child, ready }
    }

    /// The line that it printed when it was ready.
    pub fn ready_line(&self) -> &str {
        self.ready.trim_end()
    }

    /// Where one of its faces listens.
    pub fn address(&self, face: &str) -> &str {
        let after = self.ready.split(&format!("{face} ")).nth(1);
        let word = after.and_then(|rest| rest.split([',', '\n']).next());
        word.unwrap_or_else(|| panic!("no {face} in {}", self.ready))
    }

    /// Its HTTP face.
    pub fn http(&self) -> HttpClient {
        HttpClient::new(self.address("http"))
    }

    /// Ends it with SIGTERM; returns how it ended and what it said on standard error.
    pub fn terminate(mut self) -> (ExitStatus, String) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).expect("the server can be told to stop");
        let mut stderr = String::new();
        let pipe = self.child.stderr.as_mut().expect("standard error is piped");
        pipe.read_to_string(&mut stderr).expect("standard error is UTF-8");
        (self.child.wait().expect("the server can be waited for"), stderr)
    }

    /// Ends it with SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().expect("the server can be killed");
        self.child.wait().expect("the server can be waited for");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Over already, unless a test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
