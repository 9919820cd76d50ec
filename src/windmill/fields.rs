//! The fields of a job: text to value, within limits, with the first thing that is wrong kept.

use std::str::FromStr;

use crate::job::{File, Quantity, Requirements};

use super::Reason;
use super::characters;
use super::elements::{Element, Elements};
use super::error::Problem;

/// The longest name, path, unit and the like, in characters.
pub const MAX_NAME_CHARS: usize = 1024;
/// The longest `jobPars` and `transPars`, in bytes.
pub const MAX_PARAMETERS_BYTES: usize = 1 << 20;
/// The most files in a job's inputs, and in its outputs.
pub const MAX_FILES: usize = 10_000;

/// Reads fields, and keeps the first thing that is wrong with them.
#[derive(Default)]
pub(super) struct Fields {
    complaint: Option<Complaint>,
}

/// What is wrong with a field, and where it is.
pub(super) struct Complaint {
    pub reason: Reason,
    /// In bytes from the beginning of the document.
    pub at: usize,
    pub element: String,
}

impl Fields {
    /// The first thing that was wrong.
    pub fn into_complaint(self) -> Option<Complaint> {
        self.complaint
    }

    /// Notes that something is wrong with this element.
    pub fn complain(&mut self, element: Element<'_>, code: &str, text: impl Into<String>) {
        if self.complaint.is_none() {
            self.complaint = Some(Complaint {
                reason: Reason {
                    code: code.into(),
                    text: text.into(),
                },
                at: element.tag.at,
                element: element.tag.name.into(),
            });
        }
    }

    fn invalid(&mut self, element: Element<'_>, why: &str) {
        self.complain(element, "invalid-field", format!("{} {why}", element.name));
    }

    /// A name, a path or the like: surrounding white space taken off.
    pub fn name(
        &mut self,
        elements: &mut Elements<'_>,
        element: Element<'_>,
    ) -> Result<Option<String>, Problem> {
        let text = self.whole_text(elements, element)?;
        if is_longer(&text, MAX_NAME_CHARS) {
            self.invalid(
                element,
                &format!("is longer than {MAX_NAME_CHARS} characters"),
            );
            return Ok(None);
        }
        Ok(Some(text))
    }

    /// A program's parameters: surrounding white space taken off, inner kept.
    pub fn parameters(
        &mut self,
        elements: &mut Elements<'_>,
        element: Element<'_>,
    ) -> Result<Option<String>, Problem> {
        let text = self.whole_text(elements, element)?;
        if text.len() > MAX_PARAMETERS_BYTES {
            self.invalid(
                element,
                &format!("is longer than {MAX_PARAMETERS_BYTES} bytes"),
            );
            return Ok(None);
        }
        Ok(Some(text))
    }

    /// A number; none where the element is empty.
    pub fn number<T: FromStr>(
        &mut self,
        elements: &mut Elements<'_>,
        element: Element<'_>,
    ) -> Result<Option<T>, Problem> {
        let text = self.whole_text(elements, element)?;
        let number = text.parse().ok();
        if number.is_none() && !text.is_empty() {
            self.invalid(element, "is not a whole number that fits");
        }
        Ok(number)
    }

    fn whole_text(
        &mut self,
        elements: &mut Elements<'_>,
        element: Element<'_>,
    ) -> Result<String, Problem> {
        let text = elements.text()?;
        if text.mixed {
            self.invalid(element, "holds elements, where only text can be");
        }
        Ok(text.value.into_owned())
    }

    /// An attribute of the tag that was read last: surrounding white space taken off.
    fn attribute(
        &mut self,
        elements: &Elements<'_>,
        element: Element<'_>,
        name: &str,
    ) -> Option<String> {
        let Ok(value) = elements.attribute(&[name]) else {
            self.invalid(element, &format!("has {name} twice"));
            return None;
        };
        let value = value?.trim_matches(characters::is_space);
        if is_longer(value, MAX_NAME_CHARS) {
            self.invalid(
                element,
                &format!("has a {name} longer than {MAX_NAME_CHARS} characters"),
            );
            return None;
        }
        Some(value.into())
    }

    /// The content of `<requirements>`.
    pub fn requirements(&mut self, elements: &mut Elements<'_>) -> Result<Requirements, Problem> {
        let mut found = Requirements::default();
        while let Some(child) = elements.next_child()? {
            match child.name {
                "transUses" => put(self, &mut found.uses, child, |f| f.name(elements, child))?,
                "ipConnectivity" => put(self, &mut found.ip_connectivity, child, |f| {
                    f.name(elements, child)
                })?,
                "cpuCount" => put(self, &mut found.cpu, child, |f| f.quantity(elements, child))?,
                "diskCount" => put(self, &mut found.disk, child, |f| {
                    f.quantity(elements, child)
                })?,
                "ramCount" => put(self, &mut found.ram, child, |f| f.quantity(elements, child))?,
                _ => elements.skip()?,
            }
        }
        Ok(found)
    }

    fn quantity(
        &mut self,
        elements: &mut Elements<'_>,
        element: Element<'_>,
    ) -> Result<Option<Quantity>, Problem> {
        let unit = self.attribute(elements, element, "unit");
        let value = self.number(elements, element)?;
        Ok(value.map(|value| Quantity { value, unit }))
    }

    /// The content of `<inputs>` or `<outputs>`.
    pub fn files(&mut self, elements: &mut Elements<'_>) -> Result<Vec<File>, Problem> {
        let mut files = Vec::new();
        while let Some(child) = elements.next_child()? {
            if child.name != "file" {
                elements.skip()?;
                continue;
            }
            let file = self.file(elements, child)?;
            if files.len() == MAX_FILES {
                self.invalid(child, &format!("is one of more than {MAX_FILES}"));
            } else {
                files.extend(file);
            }
        }
        Ok(files)
    }

    /// A `<file>`, `<stdout>` or `<stderr>`.
    pub fn file(
        &mut self,
        elements: &mut Elements<'_>,
        element: Element<'_>,
    ) -> Result<Option<File>, Problem> {
        let logical_name = self.attribute(elements, element, "logicalFileName");
        let dataset = self.attribute(elements, element, "dataset");
        let destination = self.attribute(elements, element, "destinationSE");
        elements.skip()?;
        let Some(logical_name) = logical_name.filter(|name| !name.is_empty()) else {
            let text = format!("{} has no logicalFileName", element.name);
            self.complain(element, "missing-field", text);
            return Ok(None);
        };
        Ok(Some(File {
            logical_name,
            dataset,
            destination,
        }))
    }
}

/// Counts characters only where bytes do not decide it.
fn is_longer(text: &str, max_chars: usize) -> bool {
    text.len() > max_chars && text.chars().count() > max_chars
}

/// Reads a value and puts it where none was before.
pub(super) fn put<T>(
    fields: &mut Fields,
    slot: &mut Option<T>,
    element: Element<'_>,
    read: impl FnOnce(&mut Fields) -> Result<Option<T>, Problem>,
) -> Result<(), Problem> {
    let value = read(fields)?;
    if slot.is_some() {
        fields.invalid(element, "is given twice");
    } else {
        *slot = value;
    }
    Ok(())
}
