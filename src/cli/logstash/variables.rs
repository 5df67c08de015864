//! `${NAME}` and `${NAME:default}` in a pipeline: what Logstash puts in their place when it starts.
//!
//! A variable has the value that it has for who imports, else its default; one that has neither stays as it is written. Each is said
//! once, for Logstash's own environment may have had another value.

use super::tree::{Condition, Item, Operand, Pipeline, Plugin, Value};

/// Replaces all of them; what was done, in words, with the line.
pub(super) fn resolve(pipeline: &mut Pipeline, value_of: &dyn Fn(&str) -> Option<String>) -> Vec<(usize, String)> {
    let mut resolver = Resolver { value_of, line: 0, said: Vec::new() };
    pipeline.inputs.iter_mut().for_each(|input| resolver.plugin(input));
    resolver.items(&mut pipeline.filters);
    resolver.said
}

struct Resolver<'v> {
    value_of: &'v dyn Fn(&str) -> Option<String>,
    line: usize,
    said: Vec<(usize, String)>,
}

impl Resolver<'_> {
    fn items(&mut self, items: &mut [Item]) {
        for item in items {
            match item {
                Item::Plugin(plugin) => self.plugin(plugin),
                Item::Branch(arms) => {
                    self.line = line_of(arms).unwrap_or(self.line);
                    for (condition, items) in arms {
                        if let Some(condition) = condition {
                            self.condition(condition);
                        }
                        self.items(items);
                    }
                }
            }
        }
    }

    fn plugin(&mut self, plugin: &mut Plugin) {
        self.line = plugin.line;
        for (_, value) in &mut plugin.options {
            let is_variable = matches!(value, Value::Text(text) if text.starts_with("${"));
            self.value(value);
            // An option may want a number, and a variable is a text.
            if let Value::Text(text) = value
                && is_variable
                && text.parse::<i64>().is_ok()
            {
                *value = Value::Number(std::mem::take(text));
            }
        }
    }

    fn value(&mut self, value: &mut Value) {
        match value {
            Value::Text(text) => self.text(text),
            Value::List(list) => list.iter_mut().for_each(|value| self.value(value)),
            Value::Table(table) => table.iter_mut().for_each(|(name, value)| {
                self.text(name);
                self.value(value);
            }),
            Value::Plugin(plugin) => self.plugin(plugin),
            Value::Number(_) => {}
        }
    }

    fn condition(&mut self, condition: &mut Condition) {
        match condition {
            Condition::All(inner) | Condition::Any(inner) => inner.iter_mut().for_each(|inner| self.condition(inner)),
            Condition::Not(inner) => self.condition(inner),
            Condition::Truth(one) | Condition::Matches(one, _) => self.operand(one),
            Condition::Compare(one, _, other) | Condition::In(one, other) => {
                self.operand(one);
                self.operand(other);
            }
        }
    }

    fn operand(&mut self, operand: &mut Operand) {
        match operand {
            Operand::Text(text) => self.text(text),
            Operand::List(list) => list.iter_mut().for_each(|operand| self.operand(operand)),
            Operand::Field(_) | Operand::Number(_) => {}
        }
    }

    fn text(&mut self, text: &mut String) {
        let (mut resolved, mut rest) = (String::new(), text.as_str());
        while let Some(at) = rest.find("${") {
            let after = &rest[at + 2..];
            let inside = after.split_once('}').map(|(inside, _)| inside).filter(|inside| is_variable(inside));
            let Some(inside) = inside else {
                resolved.push_str(&rest[..at + 2]);
                rest = after;
                continue;
            };
            resolved.push_str(&rest[..at]);
            resolved.push_str(&self.value_of(inside));
            rest = &after[inside.len() + 1..];
        }
        resolved.push_str(rest);
        *text = resolved;
    }

    /// What stands in the place of `${inside}`.
    fn value_of(&mut self, inside: &str) -> String {
        let (name, default) = inside.split_once(':').map_or((inside, None), |(name, default)| (name, Some(default)));
        let (value, said) = match ((self.value_of)(name), default) {
            (Some(value), _) => {
                let said = format!("is `{value}`, as in the environment here");
                (value, said)
            }
            (None, Some(default)) => {
                (default.to_owned(), format!("is its default, `{default}`: the environment here has no `{name}`"))
            }
            (None, None) => (
                format!("${{{inside}}}"),
                format!("stays as it stands: the environment here has no `{name}`, and it no default"),
            ),
        };
        let said = format!("`${{{inside}}}` {said}");
        if !self.said.iter().any(|(_, before)| *before == said) {
            self.said.push((self.line, said));
        }
        value
    }
}

/// Of the first plugin in a branch.
fn line_of(arms: &[(Option<Condition>, Vec<Item>)]) -> Option<usize> {
    arms.iter().flat_map(|(_, items)| items).find_map(|item| match item {
        Item::Plugin(plugin) => Some(plugin.line),
        Item::Branch(arms) => line_of(arms),
    })
}

fn is_variable(inside: &str) -> bool {
    let name = inside.split(':').next().unwrap_or("");
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'))
}
