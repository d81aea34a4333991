//! The way from a certificate to an authority.

use crate::certificate::Certificate;
use crate::error::VerifyError;
use crate::roots::Roots;
use crate::verifier::Usage;
use std::sync::Arc;

/// Signatures that are looked at for one certificate, Go's number: chains can be made that have no end.
const MOST_SIGNATURES: usize = 100;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Leaf,
    Intermediate,
    Root,
}

pub(crate) struct Search<'s> {
    pub roots: &'s Roots,
    pub intermediates: Roots,
    pub usage: Usage,
    pub now: i64,
    signatures: usize,
    /// A chain that is good but for its usage was found.
    unusable: bool,
}

impl<'s> Search<'s> {
    pub fn new(roots: &'s Roots, intermediates: Roots, usage: Usage, now: i64) -> Self {
        Self {
            roots,
            intermediates,
            usage,
            now,
            signatures: 0,
            unusable: false,
        }
    }

    /// Dates and extensions of a certificate that is not yet known to come from anywhere.
    pub fn check_leaf(&self, leaf: &Certificate) -> Result<(), VerifyError> {
        self.check(leaf, Place::Leaf, &[])
    }

    /// When the chain ends to be good, in seconds since 1970.
    pub fn run(mut self, leaf: Certificate) -> Result<i64, VerifyError> {
        let leaf = Arc::new(leaf);
        let found = if self.roots.contains(&leaf) {
            Ok(self.accept(&[Arc::clone(&leaf)]))
        } else {
            self.extend(&[leaf])
        };
        match found {
            Ok(Some(until)) => Ok(until),
            Ok(None) | Err(_) if self.unusable => Err(VerifyError::IncompatibleUsage),
            Ok(None) => Err(VerifyError::UnknownAuthority { hint: None }),
            Err(error) => Err(error),
        }
    }

    /// Looks for authorities above the last certificate of `chain`.
    fn extend(&mut self, chain: &[Arc<Certificate>]) -> Result<Option<i64>, VerifyError> {
        let Some(child) = chain.last() else {
            return Ok(None);
        };
        let mut hint = None;
        let mut failed = None;
        let roots = self
            .roots
            .parents(child)
            .into_iter()
            .map(|parent| (Place::Root, parent));
        let others = self.intermediates.parents(child).into_iter();
        let candidates: Vec<_> = roots
            .chain(others.map(|parent| (Place::Intermediate, parent)))
            .collect();
        for (place, parent) in candidates {
            if chain.iter().any(|known| is_same(known, &parent)) {
                continue;
            }
            self.signatures += 1;
            if self.signatures > MOST_SIGNATURES {
                return Err(VerifyError::TooManySignatures);
            }
            let checked = child
                .check_signature_from(&parent)
                .and_then(|()| self.check(&parent, place, chain));
            if let Err(error) = checked {
                hint.get_or_insert_with(|| Arc::new((error, parent.label.clone())));
                continue;
            }
            let longer = [chain, &[parent]].concat();
            let found = match place {
                Place::Root => Ok(self.accept(&longer)),
                _ => self.extend(&longer),
            };
            match found {
                Ok(Some(until)) => return Ok(Some(until)),
                Err(VerifyError::TooManySignatures) => return Err(VerifyError::TooManySignatures),
                Ok(None) => {}
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.unwrap_or(VerifyError::UnknownAuthority { hint }))
    }

    /// A chain that has reached an authority: whether it may be used so.
    fn accept(&mut self, chain: &[Arc<Certificate>]) -> Option<i64> {
        let usable = chain.iter().all(|certificate| {
            certificate.usages.is_none_or(|usages| {
                usages.any
                    || match self.usage {
                        Usage::Server => usages.server,
                        Usage::Client => usages.client,
                    }
            })
        });
        self.unusable |= !usable;
        let until = chain.iter().map(|certificate| certificate.until).min();
        until.filter(|_| usable)
    }

    fn check(
        &self,
        certificate: &Certificate,
        place: Place,
        chain: &[Arc<Certificate>],
    ) -> Result<(), VerifyError> {
        if certificate.unhandled {
            return Err(VerifyError::UnhandledCriticalExtension);
        }
        let now = self.now;
        if now < certificate.from {
            let from = certificate.from;
            return Err(VerifyError::NotYetValid { now, from });
        }
        if now > certificate.until {
            let until = certificate.until;
            return Err(VerifyError::Expired { now, until });
        }
        if place != Place::Leaf
            && let Some(constraints) = &certificate.constraints
        {
            for names in chain.iter().filter_map(|below| below.names.as_ref()) {
                constraints.check(names)?;
            }
        }
        if place == Place::Intermediate && !certificate.basic.is_some_and(|basic| basic.authority) {
            return Err(VerifyError::NotAuthorizedToSign);
        }
        let longest = certificate.basic.and_then(|basic| basic.longest_path);
        let between = chain.len().saturating_sub(1);
        if longest.is_some_and(|longest| u32::try_from(between).is_ok_and(|between| between > longest)) {
            return Err(VerifyError::TooManyIntermediates);
        }
        Ok(())
    }
}

/// Whether they are the same authority, perhaps signed by others: such a chain would go round.
fn is_same(one: &Certificate, other: &Certificate) -> bool {
    one.subject == other.subject && one.key == other.key && one.names == other.names
}
