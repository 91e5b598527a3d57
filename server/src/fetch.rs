//! Images by address. Only from origins the operator names, only over addresses that were looked at before they are used, only so much
//! and for so long. Not here: decoding.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::ACCEPT;
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, Response, Url};
use url::{Host, Origin};

use crate::fields::FieldError;
use crate::settings::UsageError;

/// A host that does not take the connection by then is down.
const CONNECTING: Duration = Duration::from_secs(3);

const MOST_REDIRECTS: usize = 3;

/// Which images are fetched.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// Where they may lie: origins such as `https://images.example.org`.
    pub origins: Vec<String>,
    /// Whether hosts may be in the operator's own network.
    pub private: bool,
    /// Longest file.
    pub max_bytes: usize,
    /// From the question for the host's name to the last byte, redirects included.
    pub patience: Duration,
}

/// Fetches images.
#[derive(Debug, Clone)]
pub struct Fetcher {
    client: Client,
    allowed: Allowed,
    max_bytes: usize,
    patience: Duration,
}

/// Where images may come from.
#[derive(Debug, Clone)]
struct Allowed {
    origins: Arc<[Origin]>,
    /// Hosts may have addresses that only exist in this network.
    private: bool,
}

/// Why an address is not used. Says nothing of what the network looks like.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("images are not fetched from there")]
    Origin,
    #[error("the address holds a user's name or password")]
    Credentials,
    #[error("the host has no public address")]
    Private,
    #[error("there are more than {MOST_REDIRECTS} redirects")]
    Redirects,
}

impl Fetcher {
    /// A fetcher of such images.
    ///
    /// # Errors
    /// Something that is no origin.
    pub fn new(addresses: &Addresses) -> Result<Self, UsageError> {
        let private = addresses.private;
        let origins = addresses.origins.iter().map(|it| origin(it));
        let allowed = Allowed {
            origins: origins.collect::<Result<_, _>>()?,
            private,
        };
        provide_crypto();
        let redirects = allowed.clone();
        let client = Client::builder()
            .dns_resolver(Checked { private })
            .redirect(Policy::custom(move |attempt| redirects.follow(attempt)))
            .no_proxy() // it would look names up itself
            .referer(false)
            .connect_timeout(CONNECTING)
            .timeout(addresses.patience)
            .build();
        let client = client.map_err(|error| UsageError(format!("--image-origin: {error}")))?;
        Ok(Self {
            client,
            allowed,
            max_bytes: addresses.max_bytes,
            patience: addresses.patience,
        })
    }

    /// The file at `address`.
    ///
    /// # Errors
    /// An address that is not allowed, a host that does not answer with a file in time, a file that is too long.
    pub async fn fetch(&self, address: Url) -> Result<Vec<u8>, FieldError> {
        self.allowed
            .check(&address)
            .map_err(|refusal| FieldError::invalid("image", refusal.to_string()))?;
        let asked = self.client.get(address).header(ACCEPT, "image/*").send();
        let mut response = asked.await.map_err(|error| self.fault(&error))?;
        if !response.status().is_success() {
            return Err(FieldError::Unreachable {
                reason: format!("its host answered {}", response.status().as_u16()),
            });
        }
        let file = read(&mut response, self.max_bytes).await;
        file.map_err(|unread| match unread {
            Unread::TooLong { got } => FieldError::Image {
                field: "image",
                source: vision::Error::TooManyBytes {
                    got,
                    limit: self.max_bytes,
                },
            },
            Unread::Broken(error) => self.fault(&error),
        })
    }

    /// What is told of a failure: our own refusals, and the kind of every other.
    fn fault(&self, error: &reqwest::Error) -> FieldError {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(inner) = cause {
            if let Some(refusal) = inner.downcast_ref::<Refusal>() {
                return FieldError::invalid("image", refusal.to_string());
            }
            cause = inner.source();
        }
        let reason = if error.is_timeout() {
            let seconds = self.patience.as_secs_f32();
            format!("its host did not send it within {seconds} s")
        } else if error.is_connect() {
            "its host cannot be reached".to_owned()
        } else {
            "its host broke off".to_owned()
        };
        FieldError::Unreachable { reason }
    }
}

/// Chooses the ciphers of the process; every HTTP client needs them.
pub(crate) fn provide_crypto() {
    // An error says that they are chosen already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Why a reply was not read to its end.
#[derive(Debug)]
pub(crate) enum Unread {
    /// It has at least so many bytes.
    TooLong { got: usize },
    /// The connection did not bring it.
    Broken(reqwest::Error),
}

/// The body of a reply that has `limit` bytes at most. What is announced is refused before it is read; what is not is counted.
pub(crate) async fn read(response: &mut Response, limit: usize) -> Result<Vec<u8>, Unread> {
    let fits = |got: usize| {
        if got > limit {
            return Err(Unread::TooLong { got });
        }
        Ok(())
    };
    fits(response.content_length().unwrap_or_default() as usize)?;
    let mut body = vec![];
    while let Some(piece) = response.chunk().await.map_err(Unread::Broken)? {
        fits(body.len() + piece.len())?;
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// A scheme, a host and perhaps a port.
fn origin(text: &str) -> Result<Origin, UsageError> {
    let wrong = || {
        UsageError(format!(
            "--image-origin {text}: not an origin such as https://images.example.org"
        ))
    };
    let url = Url::parse(text).map_err(|_| wrong())?;
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let plain = url.username().is_empty() && url.password().is_none() && !text.ends_with('/');
    if !matches!(url.scheme(), "https" | "http") || !bare || !plain {
        return Err(wrong());
    }
    Ok(url.origin())
}

impl Allowed {
    fn check(&self, address: &Url) -> Result<(), Refusal> {
        if !self.origins.contains(&address.origin()) {
            return Err(Refusal::Origin);
        }
        if !address.username().is_empty() || address.password().is_some() {
            return Err(Refusal::Credentials);
        }
        // A host that is an address already is never looked up.
        let literal = match address.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            Some(Host::Domain(_)) | None => None,
        };
        match literal {
            Some(address) if !self.private && !is_public(address) => Err(Refusal::Private),
            _ => Ok(()),
        }
    }

    /// Every redirect is looked at like the first address.
    fn follow(&self, attempt: Attempt<'_>) -> reqwest::redirect::Action {
        let refusal = match self.check(attempt.url()) {
            _ if attempt.previous().len() > MOST_REDIRECTS => Refusal::Redirects,
            Err(refusal) => refusal,
            Ok(()) => return attempt.follow(),
        };
        attempt.error(refusal)
    }
}

/// Looks names up once, and connects to what it has looked at: no second answer can lead elsewhere.
struct Checked {
    private: bool,
}

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let private = self.private;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let usable = |it: &SocketAddr| private || is_public(it.ip());
            let addresses: Vec<SocketAddr> = found.filter(usable).collect();
            if addresses.is_empty() {
                return Err(Refusal::Private.into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// Whether an address belongs to the internet and not to a machine, a network or a purpose of its own (IANA's special registries).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_multicast()
        || a == 0
        || a >= 240
        || (a, b & 0xc0) == (100, 64) // shared by a carrier's customers
        || (a, b, c) == (192, 0, 0)
        || (a, b, c) == (192, 88, 99)
        || (a, b & 0xfe) == (198, 18); // measurements
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    // Addresses that carry one of the older kind are as public as that is.
    let [.., high, low] = segments;
    let carried = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => carried(high, low),
        [0x2002, high, low, ..] => carried(high, low),
        // 2001:0::/23 are protocols, 2001:db8::/32 and 3fff::/20 examples; only 2000::/3 is given out at all.
        [0x2001, second, ..] => second >= 0x200 && second != 0xdb8,
        [0x3fff, second, ..] => second >= 0x1000,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_internet_are_public() {
        for address in [
            "93.184.216.34",
            "1.1.1.1",
            "2606:4700::1111",
            "2002:101:101::",
            "::ffff:1.1.1.1",
            "64:ff9b::101:101",
        ] {
            assert!(is_public(address.parse().expect(address)), "{address}");
        }
        for address in [
            "127.0.0.1",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.127.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "198.18.0.1",
            "198.19.255.255",
            "203.0.113.7",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "3fff::1",
            "5f00::1",
        ] {
            assert!(!is_public(address.parse().expect(address)), "{address}");
        }
    }

    #[test]
    fn an_origin_has_no_path_and_no_user() {
        for right in [
            "https://images.example.org",
            "http://10.0.0.1:9000",
            "https://[2606:4700::1111]",
        ] {
            assert!(origin(right).is_ok(), "{right}");
        }
        for wrong in [
            "images.example.org",
            "https://a.org/",
            "https://a.org/x",
            "https://u@a.org",
            "file:///etc",
            "https://a.org?x",
            "*",
            "",
        ] {
            assert!(origin(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_address_is_allowed_by_its_origin() {
        let fetcher = |private| {
            let addresses = Addresses {
                origins: ["https://a.org", "http://127.0.0.1:81"]
                    .map(str::to_owned)
                    .to_vec(),
                private,
                max_bytes: 1,
                patience: Duration::from_secs(1),
            };
            Fetcher::new(&addresses).expect("two origins").allowed
        };
        let check = |private, address: &str| {
            let url = Url::parse(address).expect("an address");
            fetcher(private)
                .check(&url)
                .map_err(|refusal| refusal.to_string())
        };
        assert!(check(false, "https://a.org/x.png?y#z").is_ok());
        assert!(check(false, "https://A.org:443/x.png").is_ok());
        for other in [
            "http://a.org/",
            "https://a.org:444/",
            "https://b.a.org/",
            "https://a.org.b.com/",
            "file:///etc/passwd",
            "ftp://a.org",
        ] {
            assert_eq!(
                check(true, other),
                Err(Refusal::Origin.to_string()),
                "{other}"
            );
        }
        assert_eq!(
            check(false, "https://u:p@a.org/"),
            Err(Refusal::Credentials.to_string())
        );
        assert!(check(true, "http://127.0.0.1:81/").is_ok());
        // However the address is written.
        for written in [
            "http://127.0.0.1:81/",
            "http://0x7f.1:81/",
            "http://2130706433:81/",
        ] {
            assert_eq!(
                check(false, written),
                Err(Refusal::Private.to_string()),
                "{written}"
            );
        }
    }
}
