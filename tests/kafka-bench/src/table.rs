//! The table at the end.

/// Rows of what was measured, beside what it should be.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<[String; 5]>,
    missed: bool,
}

impl Table {
    /// Adds a row, and says it at once. A target is its sentence, and whether it is met.
    pub fn row(&mut self, what: &str, measured: &str, beside: &str, target: Option<(String, bool)>) {
        let (target, met) = match target {
            Some((sentence, met)) => {
                self.missed |= !met;
                (sentence, if met { "met" } else { "MISSED" })
            }
            None => (String::new(), ""),
        };
        eprintln!("{what}: {measured} {beside} {target} {met}");
        self.rows.push([what, measured, beside, &target, met].map(ToOwned::to_owned));
    }

    /// Prints it in Markdown; whether every target was met.
    pub fn print(&self) -> bool {
        println!("\n| what | measured | beside | target | |\n| --- | --- | --- | --- | --- |");
        for row in &self.rows {
            println!("| {} |", row.join(" | "));
        }
        !self.missed
    }
}
