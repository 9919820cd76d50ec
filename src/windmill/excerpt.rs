//! A job's XML, cut out of its document so that it can be read by itself.

use std::borrow::Cow;

use super::elements::{Binding, Element, is_our_namespace};
use super::markup::push_escaped;

/// The element as it came. Only where it leans on what its document binds, and would be read
/// differently without, those bindings are put into its start tag.
pub(super) fn readable_alone<'a>(
    xml: &'a str,
    job: Element<'_>,
    bindings: &[Binding],
) -> Cow<'a, str> {
    let own_prefix = job.tag.name.strip_suffix(job.name).unwrap_or_default();
    let needed = |binding: &&Binding| match &binding.prefix {
        None => !is_our_namespace(&binding.namespace) && !binding.namespace.is_empty(),
        Some(prefix) => {
            let marked = format!("{prefix}:");
            marked != own_prefix && xml.contains(&marked)
        }
    };
    let own = |binding: &&Binding| {
        let name = declaration_name(binding);
        let mut names = job
            .tag
            .content
            .split(|c: char| c.is_whitespace() || c == '=');
        !names.any(|other| other == name)
    };
    let mut missing = bindings.iter().filter(needed).filter(own).peekable();
    if missing.peek().is_none() {
        return Cow::Borrowed(xml);
    }
    let mut kept = String::with_capacity(xml.len());
    let (before, after) = xml
        .split_at_checked(1 + job.tag.name.len())
        .unwrap_or((xml, ""));
    kept.push_str(before);
    for binding in missing {
        kept.push(' ');
        kept.push_str(&declaration_name(binding));
        kept.push_str("=\"");
        push_escaped(&mut kept, &binding.namespace);
        kept.push('"');
    }
    kept.push_str(after);
    Cow::Owned(kept)
}

fn declaration_name(binding: &Binding) -> String {
    match &binding.prefix {
        None => "xmlns".into(),
        Some(prefix) => format!("xmlns:{prefix}"),
    }
}
