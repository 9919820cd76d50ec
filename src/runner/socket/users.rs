//! Who may be at the other end of a socket.

use std::collections::BTreeSet;

use nix::unistd::User;
use rustix::process::geteuid;

const ROOT: u32 = 0;

/// Users by their numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Users(BTreeSet<u32>);

/// A name that no user of this machine has.
#[derive(Debug, thiserror::Error)]
#[error("there is no user {0:?} on this machine{1}")]
pub struct UnknownUser(String, String);

impl Users {
    /// These, and root, who can be anybody.
    #[must_use]
    pub fn with_root(users: impl IntoIterator<Item = u32>) -> Self {
        Self(users.into_iter().chain([ROOT]).collect())
    }

    /// Who we are, and root.
    #[must_use]
    pub fn ourselves() -> Self {
        Self::with_root([geteuid().as_raw()])
    }

    /// Whether this is one of them.
    #[must_use]
    pub fn contain(&self, user: u32) -> bool {
        self.0.contains(&user)
    }
}

/// The number of a user who is given by name or by number.
pub fn user_id(name: &str) -> Result<u32, UnknownUser> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    match User::from_name(name) {
        Ok(Some(user)) => Ok(user.uid.as_raw()),
        Ok(None) => Err(UnknownUser(name.to_owned(), String::new())),
        Err(error) => Err(UnknownUser(name.to_owned(), format!(": {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_have_names_and_numbers() {
        assert_eq!(user_id("root").unwrap(), 0);
        assert_eq!(user_id("61234").unwrap(), 61234);
        for name in ["no-such-user", "", "-1", "root "] {
            assert!(user_id(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn root_is_always_one_of_them() {
        let users = Users::with_root([7, 9]);
        let contained = [0, 7, 8, 9].map(|user| users.contain(user));
        assert_eq!(contained, [true, true, false, true]);
    }
}
