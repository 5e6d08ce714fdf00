//! Exports a view of a table to a file.

use super::filter::CellValue;

/// The visible part of a table as values.
#[derive(Clone, Debug, PartialEq)]
pub struct ExportSheet {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<CellValue>>,
}

impl ExportSheet {
    /// Formats the sheet by the ending of the file name: `.json` gives an array of objects,
    /// anything else CSV (RFC 4180).
    ///
    /// # Errors
    /// The serialiser's, which do not occur with values like these.
    pub fn write(&self, file_name: &str) -> std::io::Result<Vec<u8>> {
        if file_name.to_lowercase().ends_with(".json") {
            self.json()
        } else {
            self.csv()
        }
    }

    fn json(&self) -> std::io::Result<Vec<u8>> {
        let value = |value: &CellValue| match value {
            CellValue::Text(text) => serde_json::Value::from(text.as_str()),
            CellValue::Number(number) => serde_json::Value::from(*number),
            CellValue::Nothing => serde_json::Value::Null,
        };
        let row = |row: &Vec<CellValue>| {
            self.columns
                .iter()
                .zip(row)
                .map(|(key, cell)| (key.clone(), value(cell)))
                .collect()
        };
        let rows: Vec<serde_json::Map<String, serde_json::Value>> =
            self.rows.iter().map(row).collect();
        let mut out = serde_json::to_vec_pretty(&rows)?;
        out.push(b'\n');
        Ok(out)
    }

    fn csv(&self) -> std::io::Result<Vec<u8>> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(&self.columns)?;
        for row in &self.rows {
            writer.write_record(row.iter().map(cell))?;
        }
        writer
            .into_inner()
            .map_err(|error| std::io::Error::other(error.to_string()))
    }
}

/// Formats a CSV cell. Most texts come from other people, so a text that a spreadsheet would run as
/// a formula is quoted (<https://owasp.org/www-community/attacks/CSV_Injection>).
fn cell(value: &CellValue) -> String {
    match value {
        CellValue::Text(text) if text.starts_with(['=', '+', '-', '@']) => format!("'{text}"),
        CellValue::Text(text) => text.clone(),
        CellValue::Number(number) => number.to_string(),
        CellValue::Nothing => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_is_written_as_its_name_says() {
        let text = |text: &str| CellValue::Text(text.to_owned());
        let sheet = ExportSheet {
            columns: vec!["peer".to_owned(), "score".to_owned()],
            rows: vec![
                vec![text("a, \"b\"\nc"), CellValue::Number(0.25)],
                vec![text("=1+1"), CellValue::Nothing],
            ],
        };
        let csv = String::from_utf8(sheet.write("peers.csv").unwrap()).unwrap();
        assert_eq!(csv, "peer,score\n\"a, \"\"b\"\"\nc\",0.25\n'=1+1,\n");
        let json: serde_json::Value =
            serde_json::from_slice(&sheet.write("peers.JSON").unwrap()).unwrap();
        assert_eq!(json[0]["score"], 0.25);
        assert_eq!(json[1]["peer"], "=1+1");
        assert!(json[1]["score"].is_null());
    }
}
