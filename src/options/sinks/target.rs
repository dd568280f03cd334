//! Where a sink sends entries to.

/// Where entries are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Syslog over TLS (RFC 5425), or lines over TLS.
    Tls(Address),
    /// The same without TLS.
    Tcp(Address),
    /// Syslog over UDP (RFC 5426).
    Udp(Address),
    /// A Unix datagram socket, such as `/dev/log`.
    Unix(String),
    /// A file.
    File(String),
    /// An HTTP server: whether with TLS, its name, and the whole URL.
    Http {
        /// Whether it is HTTPS.
        is_tls: bool,
        /// The name and port as written in the URL.
        authority: String,
        /// The URL.
        url: String,
    },
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// A name, or an IP address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// What may be written.
pub(super) const ALLOWED: &str =
    "tls://HOST:PORT, tcp://HOST:PORT, udp://HOST:PORT, unix:/PATH, file:/PATH, https://HOST/PATH or http://HOST/PATH";

impl Target {
    /// Reads an address. Returns why it is refused, without repeating it: it may have a secret in it.
    ///
    /// # Errors
    ///
    /// Returns what is wrong, as the end of a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.chars().any(|c| c.is_control() || c == ' ') {
            return Err("has a space or a control character in it".to_owned());
        }
        let path = |path: &str| {
            let path = path.strip_prefix("//").filter(|rest| rest.starts_with('/')).unwrap_or(path);
            if path.starts_with('/') && path.len() > 1 {
                Ok(path.to_owned())
            } else {
                Err("is not the path of a file, from / on".to_owned())
            }
        };
        match text.split_once(':') {
            Some(("unix", rest)) => path(rest).map(Self::Unix),
            Some(("file", rest)) => path(rest).map(Self::File),
            Some((scheme @ ("http" | "https"), rest)) => {
                let rest = rest.strip_prefix("//").ok_or("has no // behind the scheme")?;
                let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
                if authority.contains('@') {
                    return Err("has a user or password in it: use headers or token_file".to_owned());
                }
                let host =
                    authority.rsplit_once(':').map_or(authority, |(host, port)| if port.parse::<u16>().is_ok() { host } else { authority });
                if !is_host(host.trim_start_matches('[').trim_end_matches(']')) {
                    return Err("has no host in it".to_owned());
                }
                Ok(Self::Http { is_tls: scheme == "https", authority: authority.to_owned(), url: text.to_owned() })
            }
            Some((scheme @ ("tls" | "tcp" | "udp"), rest)) => {
                let address = Address::parse(rest.strip_prefix("//").ok_or("has no // behind the scheme")?)?;
                Ok(match scheme {
                    "tls" => Self::Tls(address),
                    "tcp" => Self::Tcp(address),
                    _ => Self::Udp(address),
                })
            }
            _ => Err("begins with none of these schemes".to_owned()),
        }
    }

    /// The name of the transport.
    #[must_use]
    pub const fn transport(&self) -> &'static str {
        match self {
            Self::Tls(_) => "tls",
            Self::Tcp(_) => "tcp",
            Self::Udp(_) => "udp",
            Self::Unix(_) => "unix",
            Self::File(_) => "file",
            Self::Http { is_tls: true, .. } => "https",
            Self::Http { is_tls: false, .. } => "http",
        }
    }

    /// The address as it may be shown: without the path and query of a URL, which may have a secret in them.
    #[must_use]
    pub fn shown(&self) -> String {
        let place = match self {
            Self::Tls(address) | Self::Tcp(address) | Self::Udp(address) => format!("//{address}"),
            Self::Unix(path) | Self::File(path) => path.clone(),
            Self::Http { authority, .. } => format!("//{authority}"),
        };
        format!("{}:{place}", self.transport())
    }
}

impl Address {
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.strip_suffix('/').unwrap_or(text);
        let (host, port) = text.rsplit_once(':').ok_or("has no port in it")?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = port.parse().ok().filter(|port| *port > 0).ok_or("has no port from 1 to 65535 in it")?;
        if is_host(host) { Ok(Self { host: host.to_owned(), port }) } else { Err("has no host in it".to_owned()) }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') { write!(f, "[{}]:{}", self.host, self.port) } else { write!(f, "{}:{}", self.host, self.port) }
    }
}

/// Whether it may be the name of a host or an address.
fn is_host(host: &str) -> bool {
    !host.is_empty() && host.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '.' | '_' | ':' | '%'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown_without_what_may_be_secret() {
        for (text, shown) in [
            ("tls://siem.example.com:6514", "tls://siem.example.com:6514"),
            ("tcp://[2001:db8::1]:514/", "tcp://[2001:db8::1]:514"),
            ("udp://192.0.2.1:514", "udp://192.0.2.1:514"),
            ("unix:/dev/log", "unix:/dev/log"),
            ("unix:///dev/log", "unix:/dev/log"),
            ("file:/var/log/audit.jsonl", "file:/var/log/audit.jsonl"),
            ("https://collector.example.com:4318/v1/logs?key=secret", "https://collector.example.com:4318"),
            ("http://[::1]/token", "http://[::1]"),
        ] {
            assert_eq!(Target::parse(text).unwrap().shown(), shown);
        }
    }

    #[test]
    fn a_wrong_address_is_refused_and_not_repeated() {
        for text in [
            "",
            "siem",
            "siem:6514",
            "ftp://siem",
            "tls:siem:6514",
            "tls://siem",
            "tls://:6514",
            "tls://siem:0",
            "tls://siem:70000",
            "tls://si em:6514",
            "tls://user:secret@siem:6514",
            "https://user:secret@siem/",
            "https:///path",
            "https:siem",
            "file:audit.jsonl",
            "file:/",
            "unix:",
            "file:/a\nb",
        ] {
            let reason = Target::parse(text).unwrap_err();
            assert!(!reason.contains("secret") && !reason.contains("siem"), "{text}: {reason}");
        }
    }
}
