use super::*;

/// A value in DER; all that tests need is short.
fn der(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = u8::try_from(contents.len()).unwrap();
    assert!(length < 0x80);
    [&[tag, length][..], contents].concat()
}

fn attribute(kind: u8, value: &[u8]) -> Vec<u8> {
    let kind = der(0x06, &[0x55, 0x04, kind]);
    der(0x30, &[kind, value.to_vec()].concat())
}

/// A name with a set of attributes for each.
fn name(sets: &[Vec<u8>]) -> Vec<u8> {
    let sets: Vec<_> = sets.iter().map(|set| der(0x31, set)).collect();
    der(0x30, &sets.concat())
}

fn organizations(name: &[u8]) -> Option<Vec<String>> {
    Some(Name::read(name)?.organizations().map(str::to_owned).collect())
}

#[test]
fn texts_are_read_by_their_kind() {
    let wide = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_be_bytes).collect() };
    // Some(None) is a value that is no text, None a name that can't be read.
    for (tag, contents, want) in [
        (0x0c, "gé".as_bytes().to_vec(), Some(Some("gé"))),
        (0x0c, vec![0xff], None),
        (0x13, b"g*&'()+,-./:=? 1".to_vec(), Some(Some("g*&'()+,-./:=? 1"))),
        (0x13, b"g_".to_vec(), None),
        (0x13, b"g@".to_vec(), None),
        (0x12, b"1 2".to_vec(), Some(Some("1 2"))),
        (0x12, b"a".to_vec(), None),
        (0x14, b"system:masters".to_vec(), Some(Some("system:masters"))),
        (0x14, vec![b'g', 0xe9], Some(Some("gé"))),
        (0x16, b"g@h".to_vec(), Some(Some("g@h"))),
        (0x16, vec![0x80], None),
        (0x1e, wide("system:masters"), Some(Some("system:masters"))),
        (0x1e, wide("g€\0"), Some(Some("g€"))),
        (0x1e, wide("g\0\0"), Some(Some("g\0"))),
        (0x1e, vec![0, b'g', 0], None),
        (0x1e, vec![0xd8, 0x00], None),
        (0x1e, vec![0xff, 0xfe], None),
        (0x1e, vec![0xfd, 0xd0], None),
        // VisibleString, GeneralString, UniversalString, an octet string, one of several parts, of a context.
        (0x1a, b"g".to_vec(), Some(None)),
        (0x1b, b"g".to_vec(), Some(None)),
        (0x1c, vec![0, 0, 0, b'g'], Some(None)),
        (0x04, b"g".to_vec(), Some(None)),
        (0x2c, der(0x0c, b"g"), Some(None)),
        (0x8c, b"g".to_vec(), Some(None)),
    ] {
        let found = organizations(&name(&[attribute(10, &der(tag, &contents))]));
        let want = want.map(|text: Option<&str>| text.map(str::to_owned).into_iter().collect());
        assert_eq!(found, want, "{tag:#x} {contents:?}");
    }
}

#[test]
fn all_of_a_name_is_read() {
    let group = |text: &str| attribute(10, &der(0x0c, text.as_bytes()));
    let user = |text: &str| attribute(3, &der(0x0c, text.as_bytes()));
    let groups = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    for (sets, want) in [
        (vec![], groups(&[])),
        (vec![group("a"), user("u"), group("b")], groups(&["a", "b"])),
        (
            vec![[group("a"), user("u"), group("b")].concat()],
            groups(&["a", "b"]),
        ),
        // Other readers stop at an empty set.
        (
            vec![user("u"), vec![], group("system:masters")],
            groups(&["system:masters"]),
        ),
        (vec![group("a"), vec![0x05, 0x00]], None),
    ] {
        assert_eq!(organizations(&name(&sets)), want, "{sets:?}");
    }
    // A set that says that it has no parts.
    let mut odd = name(&[group("a")]);
    odd[2] = 0x11;
    assert_eq!(organizations(&odd), None);
    let trailing = [name(&[group("a")]), vec![0]].concat();
    assert_eq!(organizations(&trailing), None);
    let two = name(&[user("first"), user("last"), attribute(3, &der(0x04, b"x"))]);
    assert_eq!(Name::read(&two).unwrap().common_name(), "last");
    assert_eq!(Name::read(&name(&[])).unwrap().common_name(), "");
}
