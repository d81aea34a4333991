//! Hashes of pod templates, as they appear in names and labels.

/// Letters and digits that form neither words nor look-alikes.
const SAFE: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// 32-bit FNV-1a.
pub fn fnv32a(bytes: impl IntoIterator<Item = u8>) -> u32 {
    bytes.into_iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

/// A number as a short string of safe characters.
pub fn safe_encode(hash: u32) -> String {
    hash.to_string()
        .bytes()
        .map(|byte| char::from(SAFE[usize::from(byte) % SAFE.len()]))
        .collect()
}

/// `length` random safe characters, as the API server appends to a generateName.
pub fn random_suffix(length: usize) -> String {
    (0..length)
        .map(|_| char::from(SAFE[rand::random_range(0..SAFE.len())]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        assert_eq!(fnv32a(*b""), 0x811c_9dc5);
        assert_eq!(fnv32a(*b"foobar"), 0xbf9c_f968);
        assert_eq!(safe_encode(1_234_567_890), "56789bcdf4");
    }
}
