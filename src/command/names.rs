//! Names of accounts and hosts: from what was typed to the form in which Prosody stores them.

use super::UsageError;
use crate::filter::person::Person;

/// Prepares names like the server (stringprep, RFC 6122). The tables for it are Prosody's.
pub trait Stringprep {
    /// Prepares a localpart by nodeprep. Returns `None` if it is not valid.
    fn node(&self, text: &str) -> Option<String>;
    /// Prepares a host by nameprep, with `xn--…` as Unicode. Returns `None` if it is not valid.
    fn host(&self, text: &str) -> Option<String>;
    /// Prepares a resource by resourceprep. Returns `None` if it is not valid.
    fn resource(&self, text: &str) -> Option<String>;
}

/// Names in lower case, which is right for ASCII.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lowercase;

impl Stringprep for Lowercase {
    fn node(&self, text: &str) -> Option<String> {
        let may_be = |letter: char| !letter.is_whitespace() && !letter.is_control() && !"\"&'/:<>@".contains(letter);
        text.chars().all(may_be).then(|| text.to_lowercase())
    }

    fn host(&self, text: &str) -> Option<String> {
        Some(text.to_lowercase())
    }

    fn resource(&self, text: &str) -> Option<String> {
        Some(text.to_owned())
    }
}

/// Splits a JID into localpart and host, and prepares both. A resource is dropped, as events are about accounts.
pub(super) fn read_target(target: &str, names: &dyn Stringprep) -> Result<(Option<String>, String), UsageError> {
    let bare = target.split_once('/').map_or(target, |(bare, _)| bare);
    let (local, host) = bare.rsplit_once('@').map_or((None, bare), |(local, host)| (Some(local), host));
    let refused = || UsageError(format!("{target:?} is not a host or an account such as example.com or user@example.com"));
    if host.is_empty() || local == Some("") {
        return Err(refused());
    }
    let host = names.host(host).ok_or_else(refused)?;
    Ok((local.map(|local| names.node(local).ok_or_else(refused)).transpose()?, host))
}

/// The account that `--person` or `--erase` names. It names one, so no other target may be given.
pub(super) fn read_person(
    action: &str,
    named: &str,
    target: Option<&(Option<String>, String)>,
    names: &dyn Stringprep,
) -> Result<Person, UsageError> {
    if target.is_some() {
        return Err(UsageError(format!("--{action} names one account and nothing else: --{action} user@example.com")));
    }
    let person = match read_target(named, names) {
        Ok((Some(local), host)) if !named.contains(['*', '/']) => Person::new(&format!("{local}@{host}")),
        _ => None,
    };
    person.ok_or_else(|| UsageError(format!("--{action} has {named:?}, which is not the name of one account such as user@example.com")))
}

/// The JID that a word of `--user` means. A name without a host is an account of `host`. A resource is dropped.
pub(super) fn read_user(word: &str, host: &str, names: &dyn Stringprep) -> Result<String, UsageError> {
    let bare = word.split_once('/').map_or(word, |(bare, _)| bare);
    let (local, of_host) = bare.rsplit_once('@').map_or((bare, None), |(local, host)| (local, Some(host)));
    let prepared = || {
        let local = names.node(local).filter(|local| !local.is_empty())?;
        let host = of_host.map_or_else(|| Some(host.to_owned()), |host| names.host(host).filter(|host| !host.is_empty()))?;
        Some(format!("{local}@{host}"))
    };
    prepared()
        .ok_or_else(|| UsageError(format!("--user has {word:?}, which is not the name of an account such as user or user@example.com")))
}

/// The actor that a word of `--actor` means: a JID with or without a resource, or a kind of actor.
pub(super) fn read_actor(word: &str, names: &dyn Stringprep) -> Result<String, UsageError> {
    let (bare, resource) = word.split_once('/').map_or((word, None), |(bare, resource)| (bare, Some(resource)));
    let Some((local, host)) = bare.rsplit_once('@') else { return Ok(word.to_owned()) };
    let prepared = || {
        let bare = format!("{}@{}", names.node(local)?, names.host(host)?);
        Some(match resource {
            Some(resource) => format!("{bare}/{}", names.resource(resource)?),
            None => bare,
        })
    };
    prepared().ok_or_else(|| UsageError(format!("--actor has {word:?}, which is not a JID such as user@example.com")))
}

/// The known name that is most similar to what was typed. Returns `None` if none is similar.
#[must_use]
pub fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (typed.chars().count() / 5).clamp(1, 3);
    let (distance, name) = known.into_iter().map(|name| (distance(typed, name), name)).min()?;
    (distance <= allowed).then_some(name)
}

/// The number of letters to insert, remove, replace or swap with the next one, to turn one text into the other.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    // The last two rows of distances. Each has a distance for each beginning of `b`.
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, other) in b.iter().enumerate() {
            let at = |row: &[usize], j: usize| row.get(j).copied().unwrap_or(usize::MAX - 1);
            let replaced = at(&last, j) + usize::from(letter != other);
            let mut least = replaced.min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            let is_swapped =
                j.checked_sub(1).is_some_and(|k| b.get(k) == Some(letter)) && i.checked_sub(1).is_some_and(|k| a.get(k) == Some(other));
            if is_swapped {
                least = least.min(at(&before, j - 1) + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jid_is_prepared_part_by_part() {
        let target = |text| read_target(text, &Lowercase).map_err(|error| error.to_string());
        assert_eq!(target("User@Example.COM/Phone"), Ok((Some("user".to_owned()), "example.com".to_owned())));
        assert!(target("a b@example.com").unwrap_err().contains("not a host or an account"));
        let user = |text| read_user(text, "example.com", &Lowercase).map_err(|error| error.to_string());
        assert_eq!(user("User").as_deref(), Ok("user@example.com"));
        assert_eq!(user("U*@B.example/phone").as_deref(), Ok("u*@b.example"));
        for wrong in ["a b", "@b", "a@", "a:b@c"] {
            assert!(user(wrong).unwrap_err().starts_with("--user has"), "{wrong}");
        }
        let actor = |text| read_actor(text, &Lowercase).map_err(|error| error.to_string());
        assert_eq!(actor("Nurse@B.example/Desk").as_deref(), Ok("nurse@b.example/Desk"));
        assert_eq!(actor("admin-shell").as_deref(), Ok("admin-shell"));
        assert!(actor("a b@c").is_err());
    }

    #[test]
    fn the_nearest_name_is_the_one_that_was_meant() {
        let known = ["example.com", "conference.example.com", "example.org"];
        for (typed, meant) in [
            ("exmaple.com", Some("example.com")),
            ("example.co", Some("example.com")),
            ("example.orgg", Some("example.org")),
            ("conference.exmple.com", Some("conference.example.com")),
            ("xmpp.test", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, known), meant, "{typed}");
        }
        assert_eq!(nearest("x", []), None);
    }

    #[test]
    fn a_distance_is_a_number_of_slips() {
        for (a, b, slips) in
            [("", "", 0), ("a", "", 1), ("", "ab", 2), ("abc", "abc", 0), ("abc", "acb", 1), ("abc", "axc", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!((distance(a, b), distance(b, a)), (slips, slips), "{a} {b}");
        }
    }
}
