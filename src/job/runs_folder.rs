//! Which folder the runs of a holder are in.

use std::fmt;

/// Names a folder of runs on its machine. A copy has another name, unless its machine is a copy, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunsFolder {
    /// The machine's ID; empty where it has none.
    pub machine: String,
    /// The boot of its kernel.
    pub boot: String,
    /// The device, a number that may be another one after the next boot.
    pub device: u64,
    /// The folder's number on its device.
    pub inode: u64,
}

impl RunsFolder {
    /// `None`: the text is none that [`Self::to_string`](ToString::to_string) gives.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let mut word = || words.next();
        let (boot, device, inode) = (word()?, word()?, word()?);
        Some(Self {
            boot: boot.to_owned(),
            device: device.parse().ok()?,
            inode: inode.parse().ok()?,
            machine: word()?.to_owned(),
        })
    }

    /// Whether the other one is this folder, and its machine has not been booted since.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let number = |folder: &Self| (folder.device, folder.inode);
        self.is_same_machine(other) && self.boot == other.boot && number(self) == number(other)
    }

    /// Whether the other one may be this folder before its machine was booted.
    #[must_use]
    pub fn is_after_boot_of(&self, other: &Self) -> bool {
        self.is_same_machine(other) && self.boot != other.boot && self.inode == other.inode
    }

    fn is_same_machine(&self, other: &Self) -> bool {
        let unknown = self.machine.is_empty() || other.machine.is_empty();
        unknown || self.machine == other.machine
    }
}

impl fmt::Display for RunsFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            machine,
            boot,
            device,
            inode,
        } = self;
        write!(f, "{boot} {device} {inode} {machine}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(machine: &str, boot: &str, device: u64, inode: u64) -> RunsFolder {
        RunsFolder {
            machine: machine.to_owned(),
            boot: boot.to_owned(),
            device,
            inode,
        }
    }

    #[test]
    fn a_folder_is_read_as_it_was_written() {
        for known in [folder("m", "b", 1, 2), folder("", "b", 1, 2)] {
            assert_eq!(RunsFolder::parse(&known.to_string()), Some(known));
        }
        for text in ["", "b 1 2", "b one 2 m"] {
            assert_eq!(RunsFolder::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_copy_is_another_folder() {
        let known = folder("m", "b", 1, 2);
        for (other, is_same, is_after_boot) in [
            (folder("m", "b", 1, 2), true, false),
            (folder("", "b", 1, 2), true, false),
            (folder("m", "b", 1, 3), false, false),
            (folder("m", "b", 3, 2), false, false),
            (folder("n", "b", 1, 2), false, false),
            (folder("m", "c", 1, 2), false, true),
            (folder("m", "c", 3, 2), false, true),
            (folder("m", "c", 1, 3), false, false),
            (folder("n", "c", 1, 2), false, false),
        ] {
            assert_eq!(other.is_same(&known), is_same, "{other}");
            assert_eq!(other.is_after_boot_of(&known), is_after_boot, "{other}");
        }
    }
}
