//! From a JSON object to one more row.

use arrow_schema::{DataType, FieldRef};

use super::super::column::{Column, Values, end_of};
use super::super::fault::Fault;
use super::JsonOptions;
use super::scan::{Scanner, Text, unescape};

/// Reads objects into columns.
#[derive(Debug, Clone)]
pub(in crate::format::table) struct JsonReader {
    options: JsonOptions,
    fields: Object,
    /// Column of each field.
    targets: Vec<usize>,
    scratch: Vec<u8>,
}

/// What a reader knows of a value beside its column.
#[derive(Debug, Clone)]
enum Shape {
    Scalar,
    Row(Object),
    List(Box<Shape>),
    Map(Box<Shape>),
}

impl Shape {
    fn of(data_type: &DataType) -> Self {
        match data_type {
            DataType::Struct(fields) => Self::Row(Object::new(fields.iter())),
            DataType::List(item) => Self::List(Box::new(Self::of(item.data_type()))),
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(fields) if fields.len() == 2 => {
                    Self::Map(Box::new(Self::of(fields[1].data_type())))
                }
                _ => Self::Scalar,
            },
            _ => Self::Scalar,
        }
    }
}

/// Places of an object that are remembered, and the longest key: what comes beyond is looked up anew.
const PLACES: usize = 64;
const LONGEST_KEY: usize = 64;

/// The fields of an object that are read.
#[derive(Debug, Clone)]
struct Object {
    names: Vec<String>,
    shapes: Vec<Shape>,
    /// By place in the last object: its key as it stands in the text, quotes included, and which field that is.
    places: Vec<(Box<[u8]>, Option<usize>)>,
}

impl Object {
    fn new<'a>(fields: impl Iterator<Item = &'a FieldRef>) -> Self {
        let mut object = Self { names: Vec::new(), shapes: Vec::new(), places: Vec::new() };
        for field in fields {
            object.names.push(field.name().clone());
            object.shapes.push(Shape::of(field.data_type()));
        }
        object
    }

    /// Takes a key and its colon. Says which field it is, if it is one that is read.
    #[inline]
    fn key(&mut self, place: usize, scanner: &mut Scanner<'_>) -> Result<Option<usize>, Fault> {
        scanner.peek();
        if let Some((key, field)) = self.places.get(place)
            && scanner.take_if(key)
        {
            scanner.colon()?;
            return Ok(*field);
        }
        self.look_up(place, scanner)
    }

    #[inline(never)]
    fn look_up(&mut self, place: usize, scanner: &mut Scanner<'_>) -> Result<Option<usize>, Fault> {
        let start = scanner.position();
        let key = scanner.key()?;
        let field = match key.escaped {
            false => self.names.iter().position(|name| name == key.raw),
            true => {
                let mut name = Vec::new();
                unescape(key.raw, &mut name)?;
                self.names.iter().position(|known| known.as_bytes() == name)
            }
        };
        let raw = scanner.since(start).as_bytes();
        if raw.len() <= LONGEST_KEY {
            if let Some(remembered) = self.places.get_mut(place) {
                *remembered = (raw.into(), field);
            } else if place == self.places.len() && place < PLACES {
                self.places.push((raw.into(), field));
            }
        }
        scanner.colon()?;
        Ok(field)
    }
}

impl JsonReader {
    /// Reads `fields` into the columns at `targets`.
    pub(in crate::format::table) fn new<'a>(
        fields: impl Iterator<Item = (&'a FieldRef, usize)>,
        options: JsonOptions,
    ) -> Self {
        let (fields, targets): (Vec<&FieldRef>, Vec<usize>) = fields.unzip();
        Self { options, fields: Object::new(fields.into_iter()), targets, scratch: Vec::new() }
    }

    pub(in crate::format::table) fn ignores_parse_errors(&self) -> bool {
        self.options.ignore_parse_errors
    }

    /// Adds one value to each of its columns, all of which have `row` rows. After an error they are to be truncated.
    #[inline]
    pub(in crate::format::table) fn read(
        &mut self,
        value: &[u8],
        columns: &mut [Column],
        row: usize,
    ) -> Result<(), Fault> {
        let mut scanner = Scanner::new(value)?;
        if scanner.peek() != Some(b'{') {
            return Err(scanner.unexpected("an object"));
        }
        let mut reading = Reading { options: &self.options, scratch: &mut self.scratch };
        let targets = &self.targets;
        reading.object(&mut scanner, &mut self.fields, columns, row, |field| targets[field])?;
        scanner.end()
    }
}

/// What every value needs.
struct Reading<'r> {
    options: &'r JsonOptions,
    scratch: &'r mut Vec<u8>,
}

impl Reading<'_> {
    /// The object that `peek` has shown.
    #[inline]
    fn object(
        &mut self,
        scanner: &mut Scanner<'_>,
        object: &mut Object,
        columns: &mut [Column],
        row: usize,
        target: impl Fn(usize) -> usize,
    ) -> Result<(), Fault> {
        let mut missing = object.names.len();
        let mut place = 0;
        let mut goes_on = !scanner.open(b'}')?;
        while goes_on {
            match object.key(place, scanner)? {
                None => scanner.skip()?,
                Some(field) => {
                    let column = &mut columns[target(field)];
                    if column.len() > row {
                        // Of a field that is given several times the last one counts.
                        column.truncate(row);
                        missing += 1;
                    }
                    self.field(scanner, &mut object.shapes[field], column)
                        .map_err(|fault| fault.within(&object.names[field]))?;
                    missing -= 1;
                }
            }
            place += 1;
            goes_on = scanner.goes_on(b'}')?;
        }
        if missing > 0 {
            for (field, name) in object.names.iter().enumerate() {
                let column = &mut columns[target(field)];
                if column.len() == row {
                    self.missing(column).map_err(|fault| fault.within(name))?;
                }
            }
        }
        Ok(())
    }

    #[cold]
    fn missing(&self, column: &mut Column) -> Result<(), Fault> {
        let ignored = self.options.ignore_parse_errors && column.is_nullable();
        if self.options.fail_on_missing_field && !ignored {
            return Err(Fault::new(format!("expected {}, found no such field", column.sql_type())));
        }
        if !column.is_nullable() {
            let expected = format!("expected {} NOT NULL, found no such field", column.sql_type());
            return Err(Fault::new(expected));
        }
        column.push_null()
    }

    /// A field's value; null instead of one that does not fit, where errors are ignored.
    #[inline]
    fn field(
        &mut self,
        scanner: &mut Scanner<'_>,
        shape: &mut Shape,
        column: &mut Column,
    ) -> Result<(), Fault> {
        let (rows, start, depth) = (column.len(), scanner.position(), scanner.depth());
        match self.value(scanner, shape, column) {
            Err(_) if self.options.ignore_parse_errors && column.is_nullable() => {
                column.truncate(rows);
                scanner.back_to(start);
                scanner.set_depth(depth);
                scanner.skip()?;
                column.push_null()
            }
            result => result,
        }
    }

    #[inline]
    fn value(
        &mut self,
        scanner: &mut Scanner<'_>,
        shape: &mut Shape,
        column: &mut Column,
    ) -> Result<(), Fault> {
        let format = self.options.timestamp_format;
        match scanner.peek() {
            Some(b'n') => {
                scanner.word("null")?;
                column.push_null()
            }
            Some(b'"') => {
                let text = scanner.string()?;
                self.text(text, column)
            }
            Some(b'-' | b'0'..=b'9') => {
                let number = scanner.number()?;
                match &column.values {
                    Values::Bool(_)
                    | Values::Date(_)
                    | Values::Time { .. }
                    | Values::Timestamp { .. }
                    | Values::Binary(_) => Err(Fault::new(format!(
                        "expected {} in quotes, found the number {number}",
                        column.expectation(format)
                    ))),
                    _ => column.push_text(number, format),
                }
            }
            Some(b't') => {
                scanner.word("true")?;
                self.boolean("true", column)
            }
            Some(b'f') => {
                scanner.word("false")?;
                self.boolean("false", column)
            }
            Some(b'{') => self.braces(scanner, shape, column),
            Some(b'[') => self.brackets(scanner, shape, column),
            _ => Err(scanner.unexpected("a value")),
        }
    }

    #[inline]
    fn text(&mut self, text: Text<'_>, column: &mut Column) -> Result<(), Fault> {
        let format = self.options.timestamp_format;
        if !text.escaped {
            return column.push_text(text.raw, format);
        }
        if let Values::Text(texts) = &mut column.values {
            unescape(text.raw, &mut texts.bytes)?;
            texts.end()?;
            column.valid();
            return Ok(());
        }
        self.scratch.clear();
        unescape(text.raw, self.scratch)?;
        // A part of UTF-8 text in which escapes became characters.
        let text = std::str::from_utf8(self.scratch).unwrap_or_default();
        column.push_text(text, format)
    }

    fn boolean(&self, word: &str, column: &mut Column) -> Result<(), Fault> {
        match &column.values {
            Values::Bool(_) | Values::Text(_) => {
                column.push_text(word, self.options.timestamp_format)
            }
            _ => Err(Fault::new(format!("expected {}, found {word}", column.sql_type()))),
        }
    }

    /// The object that `peek` has shown, as the value of a row, a map or text.
    fn braces(
        &mut self,
        scanner: &mut Scanner<'_>,
        shape: &mut Shape,
        column: &mut Column,
    ) -> Result<(), Fault> {
        let row = column.len();
        match (shape, &mut column.values) {
            (Shape::Row(object), Values::Row { columns, .. }) => {
                self.object(scanner, object, columns, row, |field| field)?;
                column.valid();
                Ok(())
            }
            (Shape::Map(shape), Values::Map { ends, key, value, .. }) => {
                let mut goes_on = !scanner.open(b'}')?;
                while goes_on {
                    let name = scanner.key()?;
                    self.text(name, key).map_err(|fault| fault.within("(a key)"))?;
                    scanner.colon()?;
                    self.field(scanner, shape, value)
                        .map_err(|fault| fault.within(&format!("[{}]", name.raw)))?;
                    goes_on = scanner.goes_on(b'}')?;
                }
                ends.push(end_of(value.len())?);
                column.valid();
                Ok(())
            }
            (_, Values::Text(_)) => raw_value(scanner, column),
            _ => Err(Fault::new(format!("expected {}, found an object", column.sql_type()))),
        }
    }

    /// The array that `peek` has shown, as the value of an array or text.
    fn brackets(
        &mut self,
        scanner: &mut Scanner<'_>,
        shape: &mut Shape,
        column: &mut Column,
    ) -> Result<(), Fault> {
        match (shape, &mut column.values) {
            (Shape::List(shape), Values::List { ends, item, .. }) => {
                let first = item.len();
                let mut goes_on = !scanner.open(b']')?;
                while goes_on {
                    self.field(scanner, shape, item).map_err(|fault| {
                        fault.within(&format!("[{}]", item.len().saturating_sub(first) + 1))
                    })?;
                    goes_on = scanner.goes_on(b']')?;
                }
                ends.push(end_of(item.len())?);
                column.valid();
                Ok(())
            }
            (_, Values::Text(_)) => raw_value(scanner, column),
            _ => Err(Fault::new(format!("expected {}, found an array", column.sql_type()))),
        }
    }
}

/// An object or array as the text that it is.
fn raw_value(scanner: &mut Scanner<'_>, column: &mut Column) -> Result<(), Fault> {
    let start = scanner.position();
    scanner.skip()?;
    column.push_bytes(scanner.since(start).as_bytes())
}
