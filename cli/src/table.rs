//! A table of text: columns aligned, numbers to the right, nothing that a terminal could execute.

use console::measure_text_width;

use crate::output::Style;

/// Two spaces between columns.
const GAP: &str = "  ";

/// Rows below a head.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

#[derive(Debug)]
struct Column {
    name: &'static str,
    to_the_right: bool,
}

impl Table {
    /// `>` before a column's name aligns it to the right.
    pub(crate) fn new(columns: &[&'static str]) -> Self {
        let column = |name: &&'static str| match name.strip_prefix('>') {
            Some(name) => Column {
                name,
                to_the_right: true,
            },
            None => Column {
                name,
                to_the_right: false,
            },
        };
        Self {
            columns: columns.iter().map(column).collect(),
            rows: Vec::new(),
        }
    }

    /// A row with one text per column.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        debug_assert_eq!(N, self.columns.len(), "a cell for each column");
        self.rows.push(cells.map(|cell| tame(&cell)).into());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as lines.
    pub(crate) fn render(&self, style: Style) -> String {
        let head: Vec<String> = self.columns.iter().map(|column| column.name.to_uppercase()).collect();
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|index| {
                self.rows
                    .iter()
                    .chain([&head])
                    .map(|row| measure_text_width(&row[index]))
                    .max()
                    .unwrap_or_default()
            })
            .collect();
        let mut text = style.dim(&self.line(&head, &widths));
        text.push('\n');
        for row in &self.rows {
            text.push_str(&self.line(row, &widths));
            text.push('\n');
        }
        text
    }

    fn line(&self, row: &[String], widths: &[usize]) -> String {
        let mut line = String::new();
        for (index, cell) in row.iter().enumerate() {
            if index > 0 {
                line.push_str(GAP);
            }
            let padding = " ".repeat(widths[index] - measure_text_width(cell));
            if self.columns[index].to_the_right {
                line.push_str(&padding);
                line.push_str(cell);
            } else {
                line.push_str(cell);
                line.push_str(&padding);
            }
        }
        line.truncate(line.trim_end().len());
        line
    }
}

/// Without control characters: a name from the network must not move the cursor.
pub(crate) fn tame(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_numbers_stand_to_the_right() {
        let mut table = Table::new(&["slug", ">requests", "name"]);
        table.row(["acme".into(), "1200".into(), "Acme".into()]);
        table.row(["globex".into(), "7".into(), "Globex 東京".into()]);
        table.row(["x".into(), String::new(), String::new()]);
        let expected = "SLUG    REQUESTS  NAME\nacme        1200  Acme\nglobex         7  Globex 東京\nx\n";
        assert_eq!(table.render(Style::plain()), expected);
    }

    #[test]
    fn nothing_from_the_network_moves_the_cursor() {
        let mut table = Table::new(&["name"]);
        table.row(["\u{1b}[2Jgone\n".into()]);
        assert_eq!(table.render(Style::plain()), "NAME\n\u{fffd}[2Jgone\u{fffd}\n");
    }
}
