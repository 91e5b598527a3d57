//! `more-r1 health`: one GET, for container health checks in images that have no curl.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use serde::Serialize;

use crate::args::HealthArgs;
use crate::command::{Failure, print};

/// A healthy service answers at once; more means that it is not.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is printed.
#[derive(Serialize)]
struct Report<'a> {
    url: &'a str,
    status: u16,
}

pub fn run(args: &HealthArgs, json: bool) -> Result<(), Failure> {
    let (authority, path) = split(&args.url).ok_or_else(|| {
        Failure::Usage(format!(
            "--url {}: has to be http://HOST[:PORT][/PATH]",
            args.url
        ))
    })?;
    let status = ask(&authority, path).with_context(|| format!("{} does not answer", args.url))?;
    print(
        json,
        &Report {
            url: &args.url,
            status,
        },
        |report| format!("{} {}", report.status, report.url),
    )?;
    if (200..300).contains(&status) {
        return Ok(());
    }
    Err(Failure::Failed(anyhow!("{} answers {status}", args.url)))
}

/// `host:port` and the path.
fn split(url: &str) -> Option<(String, &str)> {
    let rest = url.strip_prefix("http://")?;
    if rest.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return None;
    }
    let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let after_brackets = authority
        .rsplit_once(']')
        .map_or(authority, |(_, after)| after);
    match (authority.is_empty(), after_brackets.contains(':')) {
        (true, _) => None,
        (false, true) => Some((authority.to_owned(), path)),
        (false, false) => Some((format!("{authority}:80"), path)),
    }
}

/// The status of one GET.
pub(super) fn ask(authority: &str, path: &str) -> Result<u16> {
    let address = authority
        .to_socket_addrs()?
        .next()
        .context("the host has no address")?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\r\n"
    )?;
    // `HTTP/1.1 200`: twelve bytes tell.
    let mut start = [0; 12];
    stream.read_exact(&mut start)?;
    let status = std::str::from_utf8(&start)
        .ok()
        .and_then(|start| start.strip_prefix("HTTP/1.1 ")?.parse().ok());
    status.context("the answer is not HTTP/1.1")
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn addresses_are_split() {
        let seen = |url| split(url).map(|(authority, path)| format!("{authority} {path}"));
        assert_eq!(
            seen("http://localhost:8080/readyz").as_deref(),
            Some("localhost:8080 /readyz")
        );
        assert_eq!(seen("http://localhost").as_deref(), Some("localhost:80 /"));
        assert_eq!(seen("http://[::1]/x").as_deref(), Some("[::1]:80 /x"));
        assert_eq!(seen("https://localhost/"), None);
        assert_eq!(seen("http:///x"), None);
        assert_eq!(seen("http://a/x y"), None);
    }
}
