//! `docs/reference/cli.md`, written from the command line itself.

use std::fmt::Write as _;

use clap::{Command, CommandFactory as _};

use crate::arguments::Arguments;

const HEAD: &str = "# The `terrace` command

Written by `cargo run -p terrace-cli -- reference`; a test fails when it is stale.
";

/// The page.
pub(crate) fn page() -> String {
    let mut root = Arguments::command().term_width(100);
    root.build();
    let mut text = HEAD.to_owned();
    section(&mut root, 2, &mut text);
    text
}

fn section(command: &mut Command, level: usize, text: &mut String) {
    let name = command.get_bin_name().unwrap_or("terrace").to_owned();
    // The options that every command takes are shown once, with the command itself.
    let mut shown = command.clone();
    if level > 2 {
        shown = shown.mut_args(|option| {
            if option.is_global_set() {
                option.hide(true)
            } else {
                option
            }
        });
    }
    let help = shown.render_long_help().to_string();
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    let _ = write!(
        text,
        "\n{} `{name}`\n\n```text\n{}\n```\n",
        "#".repeat(level),
        help.join("\n").trim_end()
    );
    for each in command
        .get_subcommands_mut()
        .filter(|each| !each.is_hide_set() && each.get_name() != "help")
    {
        section(each, (level + 1).min(4), text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_page_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/cli.md");
        let written = std::fs::read_to_string(path).unwrap();
        assert!(
            written == page(),
            "run: cargo run -p terrace-cli -- reference > docs/reference/cli.md"
        );
    }
}
