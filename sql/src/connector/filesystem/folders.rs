//! The folders that a table's files are spread over, and which of them a query needs.

use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use arrow_schema::{FieldRef, Schema};
use datafusion::common::DFSchema;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use riverrun_operators::format::folders::{FolderColumn, FolderValues, InFolders};
use riverrun_operators::format::table::TableDecoder;

use super::FileTable;
use crate::connector::{ScanOptions, format};
use crate::{Error, Result};

impl FileTable<'_> {
    /// The columns that folders are named by, in the order of `PARTITIONED BY`.
    fn folder_fields(&self) -> Vec<FieldRef> {
        let positions =
            self.table.partitioned_by.iter().filter_map(|name| self.table.position(name));
        positions.map(|at| self.table.columns[at].field()).collect()
    }

    /// What reads the values of a file's folders.
    fn folder_values(&self) -> Result<FolderValues> {
        FolderValues::new(self.folder_fields()).map_err(format::unfit(self.table))
    }

    /// What reads these columns of files and of their folders.
    pub(super) fn decoder_in_folders(
        &self,
        columns: &[usize],
        scan: &ScanOptions,
    ) -> Result<InFolders<TableDecoder>> {
        let folder = |at: &usize| {
            let name = &self.table.columns[*at].name;
            self.table.partitioned_by.iter().position(|by| by == name)
        };
        let in_files: Vec<usize> =
            columns.iter().filter(|at| folder(at).is_none()).copied().collect();
        let place = |at: &usize| match folder(at) {
            Some(folder) => Some(FolderColumn::Folder(folder)),
            None => in_files.iter().position(|file| file == at).map(FolderColumn::File),
        };
        let places = columns.iter().filter_map(place).collect();
        Ok(InFolders::new(self.decoder(&in_files, scan)?, self.folder_values()?, places))
    }

    pub(super) fn unreadable(&self, error: std::io::Error) -> Error {
        let place = self.path.display();
        Error::io(format!("reading the files of table `{}` in {place}", self.table.name), error)
    }

    /// All files of the table, in the order of their names.
    pub(super) fn all_files(&self) -> std::io::Result<Vec<PathBuf>> {
        if self.table.partitioned_by.is_empty() {
            return super::files(&self.path);
        }
        let mut files = Vec::new();
        below(&self.path, self.table.partitioned_by.len(), &mut files)?;
        files.sort();
        Ok(files)
    }

    /// The files of all folders that a query needs, in the order of their names.
    pub(super) fn files_in_folders(&self, scan: &ScanOptions) -> Result<Vec<PathBuf>> {
        let files = self.all_files().map_err(|error| self.unreadable(error))?;
        if scan.folders.is_empty() {
            return Ok(files);
        }
        let mut values = self.folder_values()?;
        let conditions = Conditions::new(&self.folder_fields(), &scan.folders)?;
        let mut kept = Vec::with_capacity(files.len());
        let mut last: Option<(PathBuf, bool)> = None;
        for file in files {
            let folder = file.parent().unwrap_or(Path::new("")).to_owned();
            let needed = match &last {
                Some((known, needed)) if *known == folder => *needed,
                _ => conditions.may_hold(&values.of(&file.display().to_string())?),
            };
            last = Some((folder, needed));
            if needed {
                kept.push(file);
            }
        }
        Ok(kept)
    }
}

/// Adds the files below a folder that lie in so many folders called `name=value`.
fn below(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if depth == 0 {
        files.extend(super::files(folder)?);
        return Ok(());
    }
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let hidden = name.to_string_lossy().starts_with(['.', '_']);
        if !hidden && entry.file_type()?.is_dir() && name.to_string_lossy().contains('=') {
            below(&entry.path(), depth - 1, files)?;
        }
    }
    Ok(())
}

/// Conditions on the names of folders, all of which must hold.
struct Conditions(Vec<std::sync::Arc<dyn PhysicalExpr>>);

impl Conditions {
    fn new(fields: &[FieldRef], conditions: &[Expr]) -> Result<Self> {
        let schema = DFSchema::try_from(Schema::new(fields.to_vec()));
        let schema = schema.map_err(crate::plan::invalid)?;
        let (props, context) = (ExecutionProps::new(), PhysicalPlanningContext::default());
        let planned = conditions
            .iter()
            .map(|condition| create_physical_expr(condition, &schema, &props, &context));
        planned.collect::<datafusion::common::Result<_>>().map(Self).map_err(crate::plan::invalid)
    }

    /// Whether they hold for a folder, or cannot be told: then the query says what is wrong.
    fn may_hold(&self, values: &RecordBatch) -> bool {
        self.0.iter().all(|condition| {
            let result = condition.evaluate(values).and_then(|value| value.into_array(1));
            let Ok(result) = result else { return true };
            result.as_boolean_opt().is_none_or(|holds| holds.is_valid(0) && holds.value(0))
        })
    }
}
