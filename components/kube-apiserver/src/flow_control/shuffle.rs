//! Shuffle sharding: each flow is dealt a small hand of queues, so that two flows seldom share all of theirs.

/// The queues of a flow: `hand_size` different ones out of `queues`, drawn by the flow's hash.
pub fn hand(mut hash: u64, queues: u32, hand_size: u32) -> Vec<u32> {
    let hand_size = hand_size.min(queues);
    let mut drawn: Vec<u32> = Vec::with_capacity(hand_size as usize);
    for dealt in 0..hand_size {
        let left = u64::from(queues - dealt);
        let mut card = u32::try_from(hash % left).unwrap_or(0);
        hash /= left;
        // The card counts among those that are left: step over the ones that were drawn, lowest first.
        let mut taken = drawn.clone();
        taken.sort_unstable();
        for lower in taken {
            if card >= lower {
                card += 1;
            }
        }
        drawn.push(card);
    }
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn all_hands_are_drawn_equally_often() {
        // 4 * 3 ordered hands of 2 out of 4.
        let hands: BTreeSet<Vec<u32>> = (0..12).map(|hash| hand(hash, 4, 2)).collect();
        assert_eq!(hands.len(), 12);
    }

    proptest! {
        #[test]
        fn a_hand_has_different_queues(hash: u64, queues in 1u32..300, size in 1u32..10) {
            let hand = hand(hash, queues, size);
            let distinct: BTreeSet<_> = hand.iter().copied().collect();
            prop_assert_eq!(distinct.len(), size.min(queues) as usize);
            prop_assert!(hand.iter().all(|queue| *queue < queues));
        }
    }
}
