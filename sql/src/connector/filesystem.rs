//! Files of a folder: read in the order of their names, written exactly once. Of a table that is `PARTITIONED BY` columns they lie in folders
//! that are named by their values (`filesystem/folders.rs`).

mod folders;

use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

use riverrun_dataflow::{Columns, DataStream, Environment, KeyHasher};
use riverrun_operators::format::OnError;
use riverrun_operators::format::table::{
    EncoderLayout, TableDecoder, TableEncoder, TableFormat, WriteMode,
};
use riverrun_operators::{ColumnSinks, Sources};

use super::options::Options;
use super::{ScanOptions, SinkMode, SourceStream, format, topic};
use crate::catalog::Table;
use crate::{Error, Result};

/// Where a table's files are.
pub(super) struct FileTable<'a> {
    table: &'a Table,
    path: PathBuf,
    format: TableFormat,
    on_error: OnError,
}

impl<'a> FileTable<'a> {
    pub(super) fn of(table: &'a Table) -> Result<Self> {
        let options = Options::new(table);
        super::no_metadata(table)?;
        options.accept(&["sink.parallelism", super::LOOKUP_REFRESH]);
        // When Flink begins a new file, and how it tells that a folder is whole: here a file ends with its checkpoint.
        options.accept_all("sink.rolling-policy.");
        options.accept_all("sink.partition-commit.");
        options.accept_all("partition.");
        let path = options.required("path", "the folder, or the file")?;
        let path = PathBuf::from(path.strip_prefix("file://").unwrap_or(path));
        let format = format::of_value(&options)?;
        let name = path.file_name().map_or_else(|| "files".into(), |n| n.to_string_lossy());
        let on_error = topic::on_error(&options, &name)?;
        options.finish()?;
        let made = Self { table, path, format, on_error };
        made.decoder(&[], &ScanOptions::default())?;
        made.decoder_in_folders(&[], &ScanOptions::default())?;
        Ok(made)
    }

    /// Something that is different when the files are.
    pub(super) fn present_version(&self) -> Result<u64> {
        let look = || -> std::io::Result<u64> {
            let mut hasher = KeyHasher::default();
            for file in self.all_files()? {
                let metadata = file.metadata()?;
                (&file, metadata.len(), metadata.modified()?).hash(&mut hasher);
            }
            Ok(hasher.finish())
        };
        look().map_err(|error| {
            Error::io(format!("looking at the files of table `{}`", self.table.name), error)
        })
    }

    fn decoder(&self, columns: &[usize], scan: &ScanOptions) -> Result<TableDecoder> {
        topic::decoder_of_lines(self.table, &self.format, columns, scan)
    }

    pub(super) fn source(
        &self,
        env: &Environment,
        columns: &[usize],
        scan: &ScanOptions,
    ) -> Result<SourceStream> {
        let stream = match self.table.partitioned_by.is_empty() {
            true => {
                let files = files(&self.path).map_err(|error| self.unreadable(error))?;
                env.from_files_columns(files, self.decoder(columns, scan)?, self.on_error.clone())
            }
            false => {
                let files = self.files_in_folders(scan)?;
                let decoder = self.decoder_in_folders(columns, scan)?;
                env.from_files_columns(files, decoder, self.on_error.clone())
            }
        };
        Ok(SourceStream {
            stream,
            retracts: self.format.retracts(),
            upsert: None,
            parallelism: env.parallelism(),
            bounded: true,
        })
    }

    pub(super) fn sink_mode(&self) -> SinkMode {
        if self.format.retracts() { SinkMode::Changelog } else { SinkMode::Append }
    }

    pub(super) fn sink(&self, stream: &DataStream<Columns>) -> Result<()> {
        let fields = self.table.sink_schema();
        let mode = if self.format.retracts() { WriteMode::Changelog } else { WriteMode::Append };
        let spread_by = &self.table.partitioned_by;
        // What the name of the folder says is not in the files.
        let (key, value): (Vec<_>, Vec<_>) = fields
            .fields()
            .iter()
            .cloned()
            .enumerate()
            .partition(|(_, field)| spread_by.contains(field.name()));
        let layout = EncoderLayout {
            format: self.format.clone(),
            value,
            key: (!key.is_empty()).then(|| (TableFormat::Json(Default::default()), key)),
            metadata: Vec::new(),
            mode,
        };
        let encoder = TableEncoder::new(layout).map_err(format::unfit(self.table))?;
        stream.to_folders_columns(&self.path, spread_by.clone(), encoder);
        Ok(())
    }
}

/// The file, or those of the folder in the order of their names; what begins with a dot or `_` is not of the table.
fn files(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        // Says what is wrong if there is no such file.
        return path.metadata().map(|_| vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name();
        let hidden = name.to_string_lossy().starts_with(['.', '_']);
        if !hidden && entry.file_type()?.is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}
