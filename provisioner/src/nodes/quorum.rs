//! What etcd's members can bear. No I/O.

/// A member that votes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voter {
    pub name: String,
    pub peer: String,
    pub healthy: bool,
}

/// Why a change of members is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("{0} is etcd's only member; its removal would end the cluster")]
    Only(String),
    #[error(
        "etcd has no quorum now ({healthy} of {voters} members are healthy, {needed} are needed); bring more of them up first"
    )]
    NoQuorum {
        healthy: usize,
        voters: usize,
        needed: usize,
    },
    #[error(
        "without {name} etcd would have {healthy} healthy of {voters} members, {needed} are needed; bring {sick} up, or \
         take it out, first"
    )]
    WouldLose {
        name: String,
        healthy: usize,
        voters: usize,
        needed: usize,
        sick: String,
    },
}

fn quorum(voters: usize) -> usize {
    voters / 2 + 1
}

/// Whether a change can be agreed on at all.
pub fn present(voters: &[Voter]) -> Result<(), Refused> {
    let healthy = voters.iter().filter(|voter| voter.healthy).count();
    let needed = quorum(voters.len());
    if healthy >= needed {
        return Ok(());
    }
    Err(Refused::NoQuorum {
        healthy,
        voters: voters.len(),
        needed,
    })
}

/// Whether `name` can be taken out, and those that stay still are a majority.
pub fn removal(voters: &[Voter], name: &str) -> Result<(), Refused> {
    if !voters.iter().any(|voter| voter.name == name) {
        return Ok(());
    }
    if voters.len() == 1 {
        return Err(Refused::Only(name.to_owned()));
    }
    present(voters)?;
    let staying: Vec<&Voter> = voters.iter().filter(|voter| voter.name != name).collect();
    let healthy = staying.iter().filter(|voter| voter.healthy).count();
    let needed = quorum(staying.len());
    if healthy >= needed {
        return Ok(());
    }
    let sick: Vec<&str> = staying
        .iter()
        .filter(|voter| !voter.healthy)
        .map(|voter| voter.name.as_str())
        .collect();
    Err(Refused::WouldLose {
        name: name.to_owned(),
        healthy,
        voters: staying.len(),
        needed,
        sick: sick.join(", "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voters(healthy: &[bool]) -> Vec<Voter> {
        healthy
            .iter()
            .enumerate()
            .map(|(index, healthy)| Voter {
                name: format!("cp-{}", index + 1),
                peer: String::new(),
                healthy: *healthy,
            })
            .collect()
    }

    #[test]
    fn removals_that_would_lose_quorum_are_refused() {
        for (healthy, name, allowed) in [
            (&[true][..], "cp-1", false),
            (&[true, true], "cp-1", true),
            (&[true, false], "cp-1", false),
            (&[true, false], "cp-2", false),
            (&[true, true, true], "cp-1", true),
            (&[true, true, false], "cp-3", true),
            (&[true, true, false], "cp-1", false),
            (&[true, false, false], "cp-3", false),
            (&[true, true, true, false], "cp-1", true),
            (&[true, true, true, false, false], "cp-1", false),
            (&[true, true, true, false, false], "cp-5", true),
            // One that is no voter any more changes nothing.
            (&[true, true, true], "cp-9", true),
        ] {
            let found = removal(&voters(healthy), name);
            assert_eq!(found.is_ok(), allowed, "{healthy:?} without {name}: {found:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_allowed_keeps_a_majority(healthy in proptest::collection::vec(proptest::bool::ANY, 1..8), index in 0usize..8) {
            let voters = voters(&healthy);
            let name = format!("cp-{}", index % voters.len() + 1);
            if removal(&voters, &name).is_ok() {
                let staying: Vec<Voter> = voters.into_iter().filter(|voter| voter.name != name).collect();
                proptest::prop_assert!(!staying.is_empty() && present(&staying).is_ok());
            }
        }
    }
}
