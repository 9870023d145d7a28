//! Texts.

use super::check;

#[test]
fn parts_of_texts() {
    check(&[
        ("SPLIT_INDEX('a,b,c', ',', 1)", "b", "STRING"),
        ("SPLIT_INDEX('a,b,c', ',', 3)", "NULL", "STRING"),
        ("SPLIT_INDEX('a,b,c', ',', -1)", "NULL", "STRING"),
        ("SPLIT_INDEX('a;b', ';;', 0)", "a;b", "STRING"),
        ("SPLIT_INDEX('a;;b', ';;', 1)", "b", "STRING"),
        ("SPLIT_INDEX('a,,c', ',', 1)", "", "STRING"),
        ("SPLIT_INDEX('', ',', 0)", "NULL", "STRING"),
        ("SPLIT_INDEX('a,b', '', 0)", "a,b", "STRING"),
        ("SUBSTRING('hello', 0)", "hello", "STRING"),
        ("SUBSTRING('hello', -2)", "lo", "STRING"),
        ("SUBSTRING('hello', -10, 7)", "", "STRING"),
        ("SUBSTRING('hello', 2, -1)", "NULL", "STRING"),
        ("SUBSTRING('hello', 0, 2)", "he", "STRING"),
        ("SUBSTRING('hello', 10)", "", "STRING"),
        ("SUBSTRING('hello' FROM 2 FOR 2)", "el", "STRING"),
        ("SUBSTR('hello', 2, 100)", "ello", "STRING"),
        ("SUBSTRING('a😀b', 2, 1)", "😀", "STRING"),
        ("SUBSTRING('a😀b', -1)", "b", "STRING"),
        ("LEFT('hello', -1)", "", "STRING"),
        ("LEFT('hello', 10)", "hello", "STRING"),
        ("LEFT('héllo', 2)", "hé", "STRING"),
        ("RIGHT('hello', 2)", "lo", "STRING"),
        ("RIGHT('hello', 0)", "", "STRING"),
        ("ELT(2, 'a', 'b')", "b", "STRING"),
        ("ELT(3, 'a', 'b')", "NULL", "STRING"),
        ("SPLIT('a,b,c', ',')", "[a, b, c]", "ARRAY<STRING>"),
    ]);
}

#[test]
fn places_in_texts() {
    check(&[
        ("LOCATE('l', 'hello')", "3", "INT"),
        ("LOCATE('l', 'hello', 4)", "4", "INT"),
        ("LOCATE('l', 'hello', 0)", "3", "INT"),
        ("LOCATE('', 'hello')", "1", "INT"),
        ("LOCATE('x', 'hello')", "0", "INT"),
        ("LOCATE('l', 'héllo')", "3", "INT"),
        ("INSTR('hello', 'l')", "3", "INT"),
        ("INSTR('hello', 'l', 1, 2)", "4", "INT"),
        ("INSTR('hello', 'l', -1, 1)", "4", "INT"),
        ("INSTR('hello', 'l', -2, 2)", "3", "INT"),
        ("POSITION('l' IN 'hello')", "3", "INT"),
        ("STARTSWITH('hello', 'he')", "true", "BOOLEAN"),
        ("ENDSWITH('hello', 'lo')", "true", "BOOLEAN"),
        ("count_char('banana', 'a')", "3", "BIGINT"),
        ("count_char('ééa', 'é')", "2", "BIGINT"),
        ("count_char('banana', CAST(NULL AS STRING))", "NULL", "BIGINT"),
    ]);
}

#[test]
fn texts_made_of_texts() {
    check(&[
        ("LPAD('hi', 4, '??')", "??hi", "STRING"),
        ("LPAD('hi', 1, '??')", "h", "STRING"),
        ("LPAD('hi', -1, '??')", "NULL", "STRING"),
        ("LPAD('hi', 4, '')", "NULL", "STRING"),
        ("RPAD('hi', 5, 'ab')", "hiaba", "STRING"),
        ("REPEAT('ab', 3)", "ababab", "STRING"),
        ("REPEAT('ab', 0)", "", "STRING"),
        ("REPEAT('ab', -1)", "", "STRING"),
        ("INITCAP('hello wORLD a1b foo-bar')", "Hello World A1b Foo-Bar", "STRING"),
        ("CONCAT('a', CAST(NULL AS STRING), 'b')", "NULL", "STRING"),
        ("CONCAT('a')", "a", "STRING"),
        ("CONCAT('a', 'b', 'c')", "abc", "STRING"),
        ("CONCAT_WS('-', 'a', CAST(NULL AS STRING), 'b')", "a-b", "STRING"),
        ("CONCAT_WS(CAST(NULL AS STRING), 'a', 'b')", "NULL", "STRING"),
        ("'a' || 'b'", "ab", "STRING"),
        ("'a' || CAST(NULL AS STRING)", "NULL", "STRING"),
        ("OVERLAY('hello' PLACING 'XX' FROM 2)", "hXXlo", "STRING"),
        ("OVERLAY('hello' PLACING 'XX' FROM 2 FOR 4)", "hXX", "STRING"),
        ("OVERLAY('hello' PLACING 'XX' FROM 0)", "hello", "STRING"),
        ("OVERLAY('hello' PLACING 'XX' FROM 20)", "hello", "STRING"),
        ("OVERLAY('hello' PLACING 'XX' FROM 2 FOR -1)", "hXX", "STRING"),
        ("OVERLAY('hello' PLACING 'XX' FROM 3 FOR 0)", "heXX", "STRING"),
        ("REVERSE('héllo')", "olléh", "STRING"),
        ("UPPER('straße')", "STRASSE", "STRING"),
        ("LOWER('ABC')", "abc", "STRING"),
        ("TRANSLATE('hello', 'el', 'ip')", "hippo", "STRING"),
        ("REPLACE('hello', 'l', 'L')", "heLLo", "STRING"),
        ("TRIM(BOTH 'xy' FROM 'xyaxy')", "a", "STRING"),
        ("TRIM('  a  ')", "a", "STRING"),
        ("TRIM(LEADING FROM '  a ')", "a ", "STRING"),
        ("TRIM(TRAILING 'x' FROM 'xax')", "xa", "STRING"),
        ("LTRIM('  a')", "a", "STRING"),
        ("RTRIM('a  ')", "a", "STRING"),
        ("BTRIM('xxaxx', 'x')", "a", "STRING"),
        ("CHR(65)", "A", "STRING"),
        ("CHR(353)", "a", "STRING"),
        ("CHR(-1)", "", "STRING"),
    ]);
}

#[test]
fn kinds_of_texts() {
    check(&[
        ("CHAR_LENGTH('héllo')", "5", "INT"),
        ("CHARACTER_LENGTH('😀')", "1", "INT"),
        ("ASCII('abc')", "97", "INT"),
        ("ASCII('')", "0", "INT"),
        ("IS_DIGIT('123')", "true", "BOOLEAN"),
        ("IS_DIGIT('')", "false", "BOOLEAN"),
        ("IS_DIGIT('12.3')", "false", "BOOLEAN"),
        ("IS_ALPHA('abc')", "true", "BOOLEAN"),
        ("IS_ALPHA('ab1')", "false", "BOOLEAN"),
        ("IS_ALPHA('é')", "true", "BOOLEAN"),
        ("IS_DECIMAL('1.5')", "true", "BOOLEAN"),
        ("IS_DECIMAL('-1e5')", "true", "BOOLEAN"),
        ("IS_DECIMAL('abc')", "false", "BOOLEAN"),
        ("IS_DECIMAL('inf')", "false", "BOOLEAN"),
        ("IS_DECIMAL('')", "false", "BOOLEAN"),
    ]);
}

#[test]
fn regular_expressions() {
    check(&[
        ("REGEXP_EXTRACT('foothebar', 'foo(.*?)(bar)', 2)", "bar", "STRING"),
        ("REGEXP_EXTRACT('foothebar', 'foo(.*?)(bar)')", "foothebar", "STRING"),
        ("REGEXP_EXTRACT('foothebar', 'foo(.*?)(bar)', 3)", "NULL", "STRING"),
        ("REGEXP_EXTRACT('foothebar', 'x(y)', 1)", "NULL", "STRING"),
        (r"REGEXP_EXTRACT('channel_id=42&x', '(&|^)channel_id=([^&]*)', 2)", "42", "STRING"),
        ("REGEXP_REPLACE('foobar', 'oo|ar', '')", "fb", "STRING"),
        ("REGEXP_REPLACE('foobar', '(o)(o)', '$2x$1')", "f$2x$1bar", "STRING"),
        ("REGEXP('foobar', 'o+')", "true", "BOOLEAN"),
        ("REGEXP('foobar', '')", "false", "BOOLEAN"),
        (r"REGEXP('٣', '\d')", "false", "BOOLEAN"),
        (r"REGEXP('a.b', '\Qa.b\E')", "true", "BOOLEAN"),
        (r"REGEXP('a7', '[\w&&[^\d]]7')", "true", "BOOLEAN"),
        ("REGEXP_COUNT('aaa', 'a')", "3", "INT"),
        ("REGEXP_SUBSTR('hello', 'l+')", "ll", "STRING"),
        ("REGEXP_INSTR('héllo', 'l')", "3", "INT"),
        (r"REGEXP_EXTRACT_ALL('a1b2', '([a-z])(\d)', 2)", "[1, 2]", "ARRAY<STRING>"),
        ("'hello' SIMILAR TO 'h%'", "true", "BOOLEAN"),
    ]);
}

#[test]
fn urls_and_maps_of_texts() {
    let url = "http://u:p@host.com:80/path/p1?query=1&a=b#Ref1";
    for (part, expected) in [
        ("HOST", "host.com"),
        ("AUTHORITY", "u:p@host.com:80"),
        ("USERINFO", "u:p"),
        ("FILE", "/path/p1?query=1&a=b"),
        ("QUERY", "query=1&a=b"),
        ("PATH", "/path/p1"),
        ("PROTOCOL", "http"),
        ("REF", "Ref1"),
    ] {
        check(&[(&format!("PARSE_URL('{url}', '{part}')"), expected, "STRING")]);
    }
    check(&[
        (&format!("PARSE_URL('{url}', 'QUERY', 'a')"), "b", "STRING"),
        ("PARSE_URL('http://host.com', 'PATH')", "", "STRING"),
        ("PARSE_URL('http://host.com', 'QUERY')", "NULL", "STRING"),
        ("PARSE_URL('nonsense', 'HOST')", "NULL", "STRING"),
        ("PARSE_URL('http://h/?a=1', 'host')", "NULL", "STRING"),
        ("URL_ENCODE('a b&c=é/*-._~')", "a+b%26c%3D%C3%A9%2F*-._%7E", "STRING"),
        ("URL_DECODE('a+b%26c%3D%C3%A9')", "a b&c=é", "STRING"),
        ("URL_DECODE('%zz')", "NULL", "STRING"),
        ("STR_TO_MAP('k1=v1,k2=v2')", "{k1: v1, k2: v2}", "MAP<STRING, STRING>"),
        ("STR_TO_MAP('k1:v1;k2: v2;k3', ';', ':')['k2']", " v2", "STRING"),
        ("STR_TO_MAP('k1:v1;k2: v2;k3', ';', ':')['k3']", "NULL", "STRING"),
        ("STR_TO_MAP('a=1=2,a=3')", "{a: 3}", "MAP<STRING, STRING>"),
    ]);
}

#[test]
fn digests_and_encodings() {
    check(&[
        ("MD5('abc')", "900150983cd24fb0d6963f7d28e17f72", "STRING"),
        ("SHA1('abc')", "a9993e364706816aba3e25717850c26c9cd0d89d", "STRING"),
        ("SHA224('abc')", "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7", "STRING"),
        (
            "SHA2('abc', 256)",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "STRING",
        ),
        ("SHA256(CAST(NULL AS STRING))", "NULL", "STRING"),
        ("TO_BASE64('hello')", "aGVsbG8=", "STRING"),
        ("FROM_BASE64('aGVsbG8=')", "hello", "STRING"),
        ("HEX(255)", "FF", "STRING"),
        ("HEX(-1)", "FFFFFFFFFFFFFFFF", "STRING"),
        ("HEX('hello')", "68656C6C6F", "STRING"),
        ("UNHEX('68656C6C6F')", "68656c6c6f", "BYTES"),
        ("UNHEX('x')", "NULL", "BYTES"),
        ("BIN(4)", "100", "STRING"),
        ("BIN(-1)", "1111111111111111111111111111111111111111111111111111111111111111", "STRING"),
    ]);
}
