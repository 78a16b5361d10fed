//! Which modules of a crate import which, read from their text, and the circles among them.
//!
//! An import is a path from `crate`, `super`, `self` or a module's own child, in a `use` or in the code. What a module
//! only re-exports (`pub use`) is no import; a name that a parent re-exports stands for the module that defines it.
//! Modules of tests are left out. Start at [`circles`].

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{File, code_of};

/// A module: its path from the crate's root.
type Module = Vec<String>;

/// The groups of files whose modules import each other, directly or through others; each sorted.
pub(crate) fn circles(source: &str, files: &[&File]) -> Vec<Vec<String>> {
    let modules: BTreeMap<Module, &File> =
        files.iter().map(|file| (module_of(source, file), *file)).collect();
    let paths: BTreeMap<&Module, Vec<Path>> =
        modules.iter().map(|(module, file)| (module, paths_in(&without_tests(&file.text)))).collect();
    let known: BTreeSet<&Module> = modules.keys().collect();
    let re_exported = |module: &Module, name: &str| {
        let exports = paths[module].iter().filter(|path| path.exported);
        exports.filter(|path| path.names.last().is_some_and(|last| last == name)).find_map(|path| {
            let own = path.names.iter().filter(|name| *name != "self");
            longest_known(&known, &module.iter().chain(own).cloned().collect())
                .filter(|found| *found != module)
        })
    };
    let mut imports: BTreeMap<&Module, BTreeSet<&Module>> = BTreeMap::new();
    for (module, paths) in &paths {
        for path in paths.iter().filter(|path| !path.exported) {
            let Some(absolute) = absolute(&known, module, &path.names) else { continue };
            let Some(target) = longest_known(&known, &absolute) else { continue };
            let item = absolute.get(target.len());
            let target = item.and_then(|item| re_exported(target, item)).unwrap_or(target);
            if target != *module {
                imports.entry(module).or_default().insert(target);
            }
        }
    }
    let groups = strongly_connected(&known, &imports);
    let mut named: Vec<Vec<String>> = groups
        .into_iter()
        .map(|group| {
            let mut names: Vec<_> = group.into_iter().map(|module| modules[module].path.clone()).collect();
            names.sort();
            names
        })
        .collect();
    named.sort();
    named
}

fn module_of(source: &str, file: &File) -> Module {
    let inside = file.path.trim_start_matches(source).trim_end_matches(".rs");
    let mut names: Module = inside.split('/').map(str::to_owned).collect();
    if names.last().is_some_and(|name| ["mod", "lib", "main"].contains(&name.as_str())) {
        names.pop();
    }
    names
}

/// The code before a file's module of tests.
fn without_tests(text: &str) -> String {
    let code = code_of(text);
    let tests = code.match_indices("#[cfg(test)]").find(|(at, _)| {
        let after = code[at + "#[cfg(test)]".len()..].trim_start();
        after.starts_with("mod ") && after.find('{').is_some_and(|open| !after[..open].contains(';'))
    });
    tests.map_or(code.clone(), |(at, _)| code[..at].to_owned())
}

/// A path that a file names.
struct Path {
    names: Vec<String>,
    /// Whether it is only re-exported.
    exported: bool,
}

/// Every path in a file's code: the leaves of its `use`s, and what its code names with `::`.
fn paths_in(code: &str) -> Vec<Path> {
    let mut paths = Vec::new();
    let mut rest = String::new();
    let mut at = 0;
    while let Some(found) = code[at..].find("use ") {
        let start = at + found;
        let begins_line = code[..start].rsplit('\n').next().is_some_and(|before| {
            let before = before.trim();
            before.is_empty() || (before.starts_with("pub") && !before.contains(' '))
        });
        let end = code[start..].find(';').map_or(code.len(), |end| start + end);
        rest.push_str(&code[at..start]);
        if begins_line {
            let exported = code[..start].rsplit('\n').next().is_some_and(|before| before.contains("pub"));
            leaves(&code[start + 4..end], &mut Vec::new(), &mut |names| paths.push(Path { names, exported }));
            at = end;
        } else {
            rest.push_str("use ");
            at = start + 4;
        }
    }
    rest.push_str(&code[at..]);
    let is_name = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == ':';
    for word in rest.split(|letter: char| !is_name(letter)).filter(|word| word.contains("::")) {
        let names: Vec<String> =
            word.split("::").filter(|name| !name.is_empty()).map(str::to_owned).collect();
        if !word.starts_with("::") && names.len() > 1 {
            paths.push(Path { names, exported: false });
        }
    }
    paths
}

/// Tells every leaf of a tree of imports.
fn leaves(tree: &str, before: &mut Vec<String>, tell: &mut impl FnMut(Vec<String>)) {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        let path = tree.split(" as ").next().unwrap_or_default();
        let names = path.split("::").map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
        let all: Vec<String> = before.iter().cloned().chain(names).collect();
        if all.len() > before.len() {
            tell(all);
        }
        return;
    };
    let names: Vec<String> =
        tree[..open].split("::").map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
    let depth = before.len();
    before.extend(names);
    let (mut nested, mut start) = (0_usize, open + 1);
    for (offset, letter) in tree[open..].char_indices() {
        let place = open + offset;
        match letter {
            '{' => nested += 1,
            '}' if nested > 1 => nested -= 1,
            ',' if nested > 1 => {}
            ',' | '}' => {
                leaves(&tree[start..place], before, tell);
                start = place + 1;
                if letter == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    before.truncate(depth);
}

/// A path from the crate's root; `None` for one that leads out of the crate.
fn absolute(known: &BTreeSet<&Module>, module: &Module, names: &[String]) -> Option<Module> {
    match names.first().map(String::as_str)? {
        "crate" => Some(names[1..].to_vec()),
        "self" => Some(module.iter().chain(&names[1..]).cloned().collect()),
        "super" => {
            let up = names.iter().take_while(|name| *name == "super").count();
            let above = module.len().checked_sub(up)?;
            Some(module[..above].iter().chain(&names[up..]).cloned().collect())
        }
        child => {
            let own: Module = module.iter().cloned().chain([child.to_owned()]).collect();
            known.contains(&own).then(|| module.iter().chain(names).cloned().collect())
        }
    }
}

/// The deepest module that a path leads through.
fn longest_known<'a>(known: &BTreeSet<&'a Module>, path: &Module) -> Option<&'a Module> {
    (0..=path.len()).rev().find_map(|length| known.get(&path[..length].to_vec()).copied())
}

/// The groups of more than one module that reach each other (Tarjan, SIAM Journal on Computing 1972, by reachability as
/// crates are small).
fn strongly_connected<'a>(
    known: &BTreeSet<&'a Module>,
    imports: &BTreeMap<&'a Module, BTreeSet<&'a Module>>,
) -> Vec<Vec<&'a Module>> {
    let reach = |from: &'a Module| {
        let mut seen: BTreeSet<&Module> = BTreeSet::new();
        let mut open = vec![from];
        while let Some(module) = open.pop() {
            for next in imports.get(module).into_iter().flatten() {
                if seen.insert(next) {
                    open.push(next);
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&Module, BTreeSet<&Module>> =
        known.iter().map(|module| (*module, reach(module))).collect();
    let mut groups: Vec<Vec<&Module>> = Vec::new();
    let mut done: BTreeSet<&Module> = BTreeSet::new();
    for module in known {
        if done.contains(*module) || !reached[*module].contains(*module) {
            continue;
        }
        let group: Vec<&Module> = known
            .iter()
            .copied()
            .filter(|other| reached[*module].contains(other) && reached[other].contains(*module))
            .collect();
        done.extend(&group);
        groups.push(group);
    }
    groups
}
