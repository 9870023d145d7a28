//! Arrays as parameters.

use pgwire::api::Type;

use super::{Unreadable, from_binary as item_from_binary, literal, sql_type};

/// The literal of an array that is written as a text: `{1,2,NULL,"a,b"}`.
pub(super) fn from_text(item: &Type, text: &str) -> Result<String, Unreadable> {
    let inside = text.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let inside = inside.ok_or("an array is written as `{1,2}`")?;
    let mut elements = Vec::new();
    let mut chars = inside.chars().peekable();
    while chars.peek().is_some() {
        let (mut element, mut quoted, mut in_quotes) = (String::new(), false, false);
        while let Some(c) = chars.next() {
            match c {
                '\\' => element.extend(chars.next()),
                '"' => (quoted, in_quotes) = (true, !in_quotes),
                ',' if !in_quotes => break,
                '{' if !in_quotes => return Err("arrays of arrays are not taken".into()),
                c => element.push(c),
            }
        }
        let is_null = !quoted && element.trim().eq_ignore_ascii_case("NULL");
        elements.push(if is_null { "NULL".to_owned() } else { literal(item, &element) });
    }
    Ok(array(item, &elements))
}

/// The literal of an array in binary: the number of dimensions, flags, the type of its elements; for each dimension the length and the first index;
/// then each element, with its length in front.
pub(super) fn from_binary(item: &Type, bytes: &[u8]) -> Result<String, Unreadable> {
    let mut rest = bytes;
    let number = |rest: &mut &[u8]| -> Result<i32, Unreadable> {
        let (first, behind) = rest.split_first_chunk::<4>().ok_or("the array is cut off")?;
        *rest = behind;
        Ok(i32::from_be_bytes(*first))
    };
    let dimensions = number(&mut rest)?;
    if dimensions > 1 {
        return Err("arrays of arrays are not taken".into());
    }
    let (_, _) = (number(&mut rest)?, number(&mut rest)?);
    let mut count = 0;
    if dimensions == 1 {
        (count, _) = (number(&mut rest)?, number(&mut rest)?);
    }
    let mut elements = Vec::new();
    while !rest.is_empty() {
        let length = number(&mut rest)?;
        let Ok(length) = usize::try_from(length) else {
            elements.push("NULL".to_owned());
            continue;
        };
        let (element, behind) = rest.split_at_checked(length).ok_or("the array is cut off")?;
        rest = behind;
        elements.push(item_from_binary(item, element)?);
    }
    if usize::try_from(count).ok() != Some(elements.len()) {
        return Err("the array is cut off".into());
    }
    Ok(array(item, &elements))
}

fn array(item: &Type, elements: &[String]) -> String {
    match (elements.is_empty(), sql_type(item)) {
        (true, Some(name)) => format!("CAST(ARRAY[] AS ARRAY<{name}>)"),
        (true, None) => "CAST(ARRAY[] AS ARRAY<STRING>)".to_owned(),
        (false, _) => format!("ARRAY[{}]", elements.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_become_literals() {
        for (item, text, expected) in [
            (Type::INT4, "{1,NULL}", "ARRAY[CAST('1' AS INT), NULL]"),
            (Type::TEXT, r#"{a,"b,\"c","NULL",it's}"#, r#"ARRAY['a', 'b,"c', 'NULL', 'it''s']"#),
            (Type::TEXT, "{}", "CAST(ARRAY[] AS ARRAY<STRING>)"),
        ] {
            assert_eq!(from_text(&item, text).unwrap(), expected);
        }
        assert!(from_text(&Type::INT4, "1,2").is_err());
        assert!(from_text(&Type::INT4, "{{1},{2}}").is_err());
        let words = [1i32, 1, 25, 2, 1, 1, -1];
        let mut bytes: Vec<u8> = words[..6].iter().flat_map(|word| word.to_be_bytes()).collect();
        bytes.push(b'x');
        bytes.extend(words[6].to_be_bytes());
        assert_eq!(from_binary(&Type::TEXT, &bytes).unwrap(), "ARRAY['x', NULL]");
        assert!(from_binary(&Type::TEXT, &bytes[..25]).is_err());
        assert_eq!(from_binary(&Type::INT8, &[0; 12]).unwrap(), "CAST(ARRAY[] AS ARRAY<BIGINT>)");
    }
}
