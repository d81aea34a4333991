//! Outcomes of token checks, kept for a few seconds.

use super::Authenticated;
use super::notes::Notes;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::time::{Duration, Instant};

/// As upstream: a deleted pod's token stops working after this long at the latest.
const GOOD_FOR: Duration = Duration::from_secs(10);
/// Bounds memory against floods of made-up tokens.
const CAPACITY: usize = 4096;

type Outcome = Result<Option<Authenticated>, String>;

/// Keyed by hash, so that tokens themselves aren't kept in memory.
pub struct TokenCache {
    good_for: Duration,
    entries: Mutex<Entries<(Outcome, Notes)>>,
    /// Tokens that are nobody's, where that is kept: apart from the others, which made-up ones must not push out.
    unknown: Option<Mutex<Entries<()>>>,
}

/// What is known by key, and since when.
type Entries<T> = ahash::AHashMap<[u8; 32], (Instant, T)>;

/// What a token is known by.
pub fn key(token: &str, audiences: &[String]) -> [u8; 32] {
    let mut hash = Sha256::new();
    // With lengths, so that no text can pass for the end of one and the begin of another.
    for text in std::iter::once(token).chain(audiences.iter().map(String::as_str)) {
        hash.update(text.len().to_le_bytes());
        hash.update(text);
    }
    hash.finalize().into()
}

impl Default for TokenCache {
    fn default() -> Self {
        Self::for_time(GOOD_FOR)
    }
}

impl TokenCache {
    /// Keeps successes for this long.
    fn for_time(good_for: Duration) -> Self {
        Self {
            good_for,
            entries: Mutex::default(),
            unknown: None,
        }
    }

    /// Keeps for this long that a token is nobody's, too.
    pub fn of_unknown_tokens_too(good_for: Duration) -> Self {
        Self {
            unknown: Some(Mutex::default()),
            ..Self::for_time(good_for)
        }
    }

    pub fn clear(&self) {
        self.entries.lock().clear();
        if let Some(unknown) = &self.unknown {
            unknown.lock().clear();
        }
    }

    /// What is known of a token, and what every request with it is to be told.
    pub fn get(&self, token: &str, audiences: &[String]) -> Option<(Outcome, Notes)> {
        let key = key(token, audiences);
        if let Some((made, known)) = self.entries.lock().get(&key)
            && made.elapsed() < self.good_for
        {
            return Some(known.clone());
        }
        let unknown = self.unknown.as_ref()?.lock();
        let (made, ()) = unknown.get(&key)?;
        (made.elapsed() < self.good_for).then(|| (Ok(None), Notes::default()))
    }

    /// Keeps an outcome. Failures never are: one may be cured by the object that the token is bound to arriving.
    pub fn put(&self, token: &str, audiences: &[String], outcome: Outcome, notes: &Notes) {
        match (&outcome, &self.unknown) {
            (Ok(Some(_)), _) => {
                let known = (outcome, notes.clone());
                self.keep(&mut self.entries.lock(), key(token, audiences), known);
            }
            (Ok(None), Some(unknown)) => self.keep(&mut unknown.lock(), key(token, audiences), ()),
            _ => {}
        }
    }

    fn keep<T>(&self, entries: &mut Entries<T>, key: [u8; 32], what: T) {
        if entries.len() >= CAPACITY {
            entries.retain(|_, (made, _)| made.elapsed() < self.good_for);
            if entries.len() >= CAPACITY {
                entries.clear();
            }
        }
        entries.insert(key, (Instant::now(), what));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept() {
        let known = || Ok(Some(Authenticated::default()));
        let usual = TokenCache::default();
        let with_unknown = TokenCache::of_unknown_tokens_too(Duration::from_secs(60));
        let none = TokenCache::of_unknown_tokens_too(Duration::ZERO);
        for (cache, outcome, kept) in [
            (&usual, known(), true),
            (&usual, Ok(None), false),
            (&usual, Err(String::new()), false),
            (&with_unknown, known(), true),
            (&with_unknown, Ok(None), true),
            (&with_unknown, Err(String::new()), false),
            (&none, known(), false),
            (&none, Ok(None), false),
        ] {
            cache.put("t", &[], outcome.clone(), &Notes::default());
            let found = cache.get("t", &[]).map(|(found, _)| found);
            assert_eq!(found, kept.then_some(outcome));
            assert!(
                cache.get("t", &["a".to_owned()]).is_none(),
                "of other audiences nothing is known"
            );
            cache.clear();
            assert!(cache.get("t", &[]).is_none());
        }
    }

    #[test]
    fn made_up_tokens_push_out_no_good_ones() {
        let cache = TokenCache::of_unknown_tokens_too(Duration::from_secs(60));
        cache.put("good", &[], Ok(Some(Authenticated::default())), &Notes::default());
        for number in 0..=CAPACITY {
            cache.put(&number.to_string(), &[], Ok(None), &Notes::default());
        }
        assert!(matches!(cache.get("good", &[]), Some((Ok(Some(_)), _))));
    }
}
